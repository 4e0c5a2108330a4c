package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/cmd/backlogprobe/internal/probe"
	"onconn/internal/cli"
	"onconn/internal/terminal"
)

// exitInterrupted is what a shell calls a program that SIGINT ended.
const exitInterrupted = 130

// probeFlags are those of probe, and the common ones that it heeds.
type probeFlags struct {
	probe.Options
	probe.Thresholds
	syn      string
	complete bool
	foreign  bool
	yes      bool
	demo     bool
	verbose  bool

	json, quiet bool
	style       terminal.Style
}

// probeFlagsHelp lets the help fit on a screen, which a line for each wouldn't.
const probeFlagsHelp = `      --stop-accepting      SIGSTOP the server, 2 s at most, and fill its queue
      --burst N             clients within a second (2000); 0: none
      --max N, --wait TIME  bounds: connections at a time (10000), waiting (10s)
      --reset               close with RST: leaves no TIME_WAIT
      --syn[=N]             send N bare SYNs instead (root): the SYN queue;
      --complete            and finish the handshakes: the accept queue
      --min-capacity N, --max-wait TIME
                            exit 1 if it holds fewer, or a client waits longer
      --i-own-this-host     allow an address of another host
  -y, --yes                 don't ask; -v, --verbose  explain the grades`

func newProbe() *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use:   "probe ADDR | --demo [NAME]",
		Short: "Measure what a listener holds, and what its clients see beyond",
		Long: `Send a burst of clients to a listener: how long do they wait, who is refused?
With --stop-accepting, measure its accept queue while the server is stopped.`,
		Example: `  backlogprobe probe --demo
  backlogprobe probe :8080 --burst 500 --max-wait 1s
  sudo backlogprobe probe 127.0.0.1:8080 --stop-accepting --min-capacity 512`,
		Args: cobra.ArbitraryArgs,
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.StopAccepting, "stop-accepting", false, "SIGSTOP the server, 2 s at most, and fill its queue")
	flags.IntVar(&f.Burst, "burst", 2000, "clients within a second")
	flags.IntVar(&f.Max, "max", 10000, "connections at a time, at most")
	flags.DurationVar(&f.Options.Wait, "wait", 10*time.Second, "for refused clients, at most")
	flags.BoolVar(&f.Reset, "reset", false, "close with RST: leaves no TIME_WAIT")
	flags.StringVar(&f.syn, "syn", "", "send `N` bare SYNs instead (root): the SYN queue")
	flags.Lookup("syn").NoOptDefVal = "auto"
	flags.BoolVar(&f.complete, "complete", false, "with --syn: finish the handshakes")
	flags.IntVar(&f.Capacity, "min-capacity", 0, "exit 1 if the queue holds fewer connections")
	flags.DurationVar(&f.Thresholds.Wait, "max-wait", 0, "exit 1 if a client waits longer")
	flags.BoolVar(&f.foreign, "i-own-this-host", false, "allow an address of another host")
	flags.BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	flags.BoolVar(&f.demo, "demo", false, "show a phenomenon on a listener of our own")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "explain the grades")
	cmd.SetUsageTemplate(strings.Replace(usageTemplate, "{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}", probeFlagsHelp, 1))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd, args); err != nil {
			return cli.Usage(err)
		}
		if f.demo {
			return demo(cmd, f, args)
		}
		return measure(cmd, f, args[0])
	}
	return cmd
}

// check finds mistakes before anything is opened, and reads the common flags.
func (f *probeFlags) check(cmd *cobra.Command, args []string) (err error) {
	value := func(name string) string {
		if flag := cmd.Flag(name); flag != nil {
			return flag.Value.String()
		}
		return ""
	}
	given := func(name string) bool {
		flag := cmd.Flag(name)
		return flag != nil && flag.Changed
	}
	f.json, f.quiet = value("json") == "true", value("quiet") == "true"
	if f.style, err = terminal.ForWriter(cmd.OutOrStdout(), value("color"), value("ascii") == "true"); err != nil {
		return err
	}
	switch {
	case given("netns") || given("all-netns"):
		return errors.New("probe connects from its own namespace: ip netns exec NAME backlogprobe probe ADDR, or nsenter -t PID -n")
	case len(args) > 1:
		return fmt.Errorf("probe one address at a time, not %q too", args[1])
	case f.demo:
		for _, name := range []string{"stop-accepting", "burst", "max", "wait", "reset", "syn", "complete", "min-capacity", "max-wait", "i-own-this-host", "verbose"} {
			if given(name) {
				return fmt.Errorf("--demo measures nothing of yours: it goes without --%s", name)
			}
		}
		return nil
	case len(args) == 0:
		return errors.New("probe what? An address such as :8080 or /run/app.sock, or --demo")
	case f.Burst < 0 || f.Max < 1 || f.Options.Wait <= 0 || f.Capacity < 0 || f.Thresholds.Wait < 0:
		return errors.New("--burst, --min-capacity and --max-wait can't be negative, and --max and --wait must be above 0")
	case given("syn") && (f.StopAccepting || given("burst") || given("max-wait")):
		return errors.New("--syn measures by itself: without --stop-accepting, --burst and --max-wait")
	case f.complete && !given("syn"):
		return errors.New("--complete needs --syn")
	case f.Burst == 0 && !f.StopAccepting && !given("syn"):
		return errors.New("--burst 0 leaves nothing to do without --stop-accepting")
	case f.Burst == 0 && given("max-wait"):
		return errors.New("--max-wait is about a burst")
	}
	_, err = f.syns()
	return err
}

// syns is how many SYNs to send; 0: as many as it takes.
func (f *probeFlags) syns() (int, error) {
	if f.syn == "" || f.syn == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(f.syn)
	if err != nil || n < 1 || n > 2000 {
		return 0, fmt.Errorf("--syn=%s: it is a number from 1 to 2000", f.syn)
	}
	return n, nil
}

func measure(cmd *cobra.Command, f probeFlags, address string) error {
	target, err := probe.Resolve(cmdContext(cmd), address, f.foreign)
	if errors.Is(err, probe.ErrForeign) {
		return cli.Usage(fmt.Errorf("%w: --i-own-this-host allows it, if you do", err))
	}
	if err != nil {
		return cli.Usage(err)
	}
	f.Target = target
	listener, err := probe.Look(target)
	if listener == nil && (f.StopAccepting || f.syn != "") {
		return fmt.Errorf("%s: %w", address, err)
	}
	if err := f.agree(cmd, listener); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmdContext(cmd), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	bar := terminal.NewProgress(cmd.ErrOrStderr())
	f.Progress = bar.Set
	var report *probe.Report
	if f.syn != "" {
		n, _ := f.syns()
		report, err = probe.SYN(ctx, f.Options, n, f.complete)
	} else {
		report, err = probe.Connect(ctx, f.Options)
	}
	bar.Done()
	if errors.Is(err, probe.ErrNoTUN) {
		return fmt.Errorf("%w; without: backlogprobe probe %s --stop-accepting", err, address)
	}
	if report == nil {
		return err
	}
	report.Judge(f.Thresholds)
	if printErr := f.print(cmd, report); err == nil {
		err = printErr
	}
	return err
}

func cmdContext(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

func (f *probeFlags) print(cmd *cobra.Command, report *probe.Report) error {
	out := cmd.OutOrStdout()
	if f.json {
		if err := json.NewEncoder(out).Encode(report); err != nil {
			return err
		}
	} else {
		report.Print(out, f.style)
		if f.verbose {
			fmt.Fprintln(out, f.style.Dim(probe.GradeRule))
		}
	}
	switch {
	case report.Interrupted:
		return cli.ExitCode(exitInterrupted)
	case report.Missed != nil:
		return cli.ExitCode(cli.Failure)
	}
	return nil
}

// agree says what will happen and its bounds, and asks if it disturbs others.
func (f *probeFlags) agree(cmd *cobra.Command, l *probe.ListenerFacts) error {
	ask := f.StopAccepting || f.syn != ""
	plan := "probe " + terminal.Clean(f.Target.Addr.String()) + ": " + strings.Join(f.plan(l), ", ")
	style, err := terminal.ForWriter(cmd.ErrOrStderr(), "never", false)
	if err != nil {
		return err
	}
	plan = strings.Join(terminal.Wrap(plan, style.Width), "\n")
	if !ask || f.yes {
		if !f.quiet {
			fmt.Fprintln(cmd.ErrOrStderr(), plan)
		}
		return nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), plan)
	if !terminal.IsTerminal(os.Stdin) {
		return cli.Usage(errors.New("that disturbs the server's clients: say --yes"))
	}
	fmt.Fprint(cmd.ErrOrStderr(), "Go on? [y/N] ")
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}

func (f *probeFlags) plan(l *probe.ListenerFacts) (parts []string) {
	if f.syn != "" {
		what := "up to 2000 bare SYNs from addresses of our own in 198.18.0.0/15"
		if f.complete {
			what = "up to 2000 connections without sockets, which stay in the accept queue until the server takes them"
		}
		return append(parts, what, "reset after about 2 s")
	}
	if f.StopAccepting {
		var names []string
		for _, o := range l.Owners {
			names = append(names, fmt.Sprintf("%s[%d]", terminal.Clean(o.Command), o.PID))
		}
		if names == nil {
			names = []string{"its processes"}
		}
		parts = append(parts, fmt.Sprintf("stops %s for 2 s at most (a shell that runs it in the foreground notices) and fills the queue (%d connections at most)", strings.Join(names, " "), f.Max))
	}
	if f.Burst > 0 {
		parts = append(parts, fmt.Sprintf("%d clients in 1 s, who send nothing", min(f.Burst, f.Max)))
	}
	return append(parts, fmt.Sprintf("waits %v at most for those refused", f.Options.Wait))
}

// demo plays the demo that is named, or the main one and lists the others.
func demo(cmd *cobra.Command, f probeFlags, args []string) error {
	all := probe.Demos()
	chosen := all[0]
	for _, d := range all {
		if len(args) == 1 && d.Name == args[0] {
			chosen = d
		}
	}
	if len(args) == 1 && chosen.Name != args[0] {
		var names []string
		for _, d := range all {
			names = append(names, d.Name)
		}
		return cli.Usage(fmt.Errorf("no demo %q: there are %s", args[0], strings.Join(names, ", ")))
	}
	ctx, stop := signal.NotifyContext(cmdContext(cmd), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	out := cmd.OutOrStdout()
	show := func(s probe.Step) { probe.PrintStep(out, f.style, s) }
	if f.json {
		lines := json.NewEncoder(out)
		show = func(s probe.Step) {
			lines.Encode(struct {
				Schema string `json:"schema"`
				Demo   string `json:"demo"`
				probe.Step
			}{probe.Schema, chosen.Name, s})
		}
	} else {
		fmt.Fprintln(out, f.style.Bold(chosen.Name+": "+chosen.Title))
	}
	err := probe.RunDemo(ctx, chosen.Name, show)
	if errors.Is(err, context.Canceled) {
		return cli.ExitCode(exitInterrupted)
	}
	if err == nil && len(args) == 0 && !f.json && !f.quiet {
		fmt.Fprintln(out, "\nOther demos:")
		for _, d := range all[1:] {
			fmt.Fprintf(out, "  backlogprobe probe --demo %s %s\n", terminal.Pad(d.Name, 10), d.Title)
		}
	}
	return err
}
