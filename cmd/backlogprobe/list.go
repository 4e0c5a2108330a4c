package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/cmd/backlogprobe/internal/view"
	"onconn/internal/cli"
	"onconn/internal/terminal"
	"onconn/internal/words"
	"onconn/sock"
)

// listFlags are those of the list. Some only serve the habits of ss(8).
type listFlags struct {
	common
	like                                                     []string // commands that the filter may be a slip for
	all, noHeader, ss, verbose, unix, perSocket, inet, inet6 bool

	fields []string
	sample time.Duration
	watch  string
	count  int // 0: until it is stopped
}

const watchDefault = "1"

// uncut is the width of lines for a program, which chose what it wants to read.
const uncut = 1 << 16

// newList is the table of listeners: the command alone means it too.
func newList(use string) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: "Show each listener's accept queue, and what is wrong with it",
		Example: `  backlogprobe                 all listeners, looked at for a second
  backlogprobe :8080 -v        one of them, with all that is known
  backlogprobe nginx 5         those of nginx, every 5 seconds`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.common = commonFlags(cmd)
			if len(args) == 1 {
				f.like = cmd.Root().SuggestionsFor(args[0])
			}
			return f.run(args)
		},
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeFilter,
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.all, "all", "a", false, "quiet listeners too")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "all that is known about each listener")
	flags.DurationVar(&f.sample, "sample", time.Second, "how long to look; 0 reads once")
	flags.StringVarP(&f.watch, "watch", "w", "", "repeat every so many seconds")
	flags.Lookup("watch").NoOptDefVal = watchDefault
	flags.BoolVarP(&f.unix, "unix", "x", false, "unix sockets too")
	flags.BoolVarP(&f.inet, "ipv4", "4", false, "IPv4 only")
	flags.BoolVarP(&f.inet6, "ipv6", "6", false, "IPv6 only")
	flags.BoolVar(&f.perSocket, "per-socket", false, "a row for each socket that shares a port")
	flags.StringSliceVarP(&f.fields, "fields", "o", nil, "columns, as in -o local,recv-q,hurt,process")
	flags.BoolVarP(&f.noHeader, "no-header", "H", false, "rows only")
	flags.BoolVar(&f.ss, "ss", false, "name processes as ss does")
	for _, habit := range []string{"listening", "tcp", "numeric", "processes"} {
		flags.BoolP(habit, habit[:1], false, "as in ss; always so here")
		flags.Lookup(habit).Hidden = true
	}
	flags.SortFlags = false
	return cmd
}

func (f *listFlags) run(args []string) error {
	words, err := f.interval(args)
	if err != nil {
		return err
	}
	chosen, err := parseFilter(words)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	style, err := f.style(os.Stdout)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := f.survey(survey.Options{
		Filter: chosen,
		Unix:   f.unix,
		Sum:    !f.perSocket,
		Owners: true, SkipQuiet: !f.all && !f.json,
		// A client that waits is sure to be seen on the wire after 2.5 s only.
		Hurt:    f.sample > 2*time.Second || f.watch != "",
		Accepts: true, SharedAccepts: !f.verbose && !f.json && f.watch == "",
		Once: f.sample == 0 && f.watch == "",
	})
	if err != nil {
		return err
	}
	defer s.Close()
	for n := 1; ; n++ {
		r, err := f.look(ctx, s)
		if err != nil {
			return err
		}
		if f.watch != "" && ctx.Err() != nil {
			return nil
		}
		if len(r.Listeners) == 0 && len(f.like) > 0 {
			return usage(fmt.Sprintf("%s: did you mean backlogprobe %s?", nothing(chosen, r), f.like[0]))
		}
		if err := f.print(r, style, chosen); err != nil {
			return err
		}
		if f.watch == "" || n == f.count {
			return nil
		}
		s.Reset()
	}
}

// interval splits "INTERVAL [COUNT]", as vmstat(8) has it, from a filter. The
// first word is never an interval: it would be a port.
func (f *listFlags) interval(args []string) (filter []string, err error) {
	var numbers []string
	for len(args) > 1 && len(numbers) < 2 {
		last := args[len(args)-1]
		if _, ok := number(last); !ok || slices.Contains([]string{"=", "==", "eq", "sport", "src"}, args[len(args)-2]) {
			break
		}
		numbers = append([]string{last}, numbers...)
		args = args[:len(args)-1]
	}
	if len(numbers) > 0 {
		f.watch = numbers[0]
	}
	if len(numbers) > 1 {
		if f.count, err = strconv.Atoi(numbers[1]); err != nil || f.count < 1 {
			return nil, usage(fmt.Sprintf("%s is no count: it is 1 or more", numbers[1]))
		}
	}
	if f.watch != "" {
		seconds, ok := number(f.watch)
		if !ok || seconds < 0.1 || seconds > 86400 {
			return nil, usage(fmt.Sprintf("%s is no interval: it is in seconds, 0.1 to 86400", f.watch))
		}
		f.sample = time.Duration(seconds * float64(time.Second))
	}
	return args, nil
}

func (f *listFlags) check() error {
	if f.sample < 0 {
		return usage(fmt.Sprintf("--sample %v is negative", f.sample))
	}
	if f.fields != nil {
		if err := view.CheckFields(f.fields); err != nil {
			return cli.Usage(err)
		}
	}
	return nil
}

// look takes one, with a line of progress where it is worth one.
func (f *listFlags) look(ctx context.Context, s *survey.Survey) (*survey.Report, error) {
	progress := f.progress()
	defer progress.Done()
	if f.sample >= time.Second/2 && (f.watch == "" || f.sample > 2*time.Second) {
		stop := showProgress(ctx, progress, f.sample, "looking for "+words.Duration(f.sample))
		defer stop()
	}
	r, err := s.Look(ctx, f.sample)
	if err != nil {
		return nil, err
	}
	if f.inet != f.inet6 {
		r.Listeners = slices.DeleteFunc(r.Listeners, func(row survey.Row) bool {
			return (row.Observation.Addr.Family() == sock.Inet) != f.inet
		})
		r.Findings = slices.DeleteFunc(r.Findings, func(found survey.Finding) bool {
			return found.Local != "" && !slices.ContainsFunc(r.Listeners, func(row survey.Row) bool {
				return row.Local == found.Local && row.Netns == found.Netns
			})
		})
	}
	return r, nil
}

// showProgress moves a line of progress until it is stopped.
func showProgress(ctx context.Context, p *terminal.Progress, d time.Duration, text string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		start := time.Now()
		tick := time.NewTicker(d / 50)
		defer tick.Stop()
		for {
			p.Set(time.Since(start).Seconds()/d.Seconds(), text)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		p.Done()
	}
}

func (f *listFlags) print(r *survey.Report, style terminal.Style, chosen survey.Filter) error {
	if f.json {
		return writeJSON(r, f.watch == "" && terminal.IsTerminal(os.Stdout))
	}
	aside := prose()
	beside, err := f.style(aside)
	if err != nil {
		return err
	}
	if len(r.Listeners) == 0 && !f.quiet {
		fmt.Fprintln(aside, nothing(chosen, r))
		return nil
	}
	if !terminal.IsTerminal(os.Stdout) && (f.ss || f.fields != nil) {
		style.Width = uncut
	}
	o := view.Options{Style: style, All: f.all, NoHeader: f.noHeader, SS: f.ss, Fields: f.fields}
	hidden := view.Table(os.Stdout, r, o)
	if f.quiet {
		return nil
	}
	view.Footer(aside, r, beside, hidden)
	if len(r.Findings) > 0 {
		fmt.Fprintln(aside)
		view.Findings(aside, r, beside, f.verbose)
	}
	if f.verbose {
		fmt.Fprintln(aside)
		view.Details(aside, r, beside)
	}
	if f.watch != "" {
		fmt.Fprintln(aside)
	}
	return nil
}

// nothing says that no listener was found.
func nothing(chosen survey.Filter, r *survey.Report) string {
	switch {
	case chosen.String() == "":
		return "nothing listens here"
	case r.UnknownWhy["owners"] != "" && os.Geteuid() != 0:
		return fmt.Sprintf("no listener that we may look into matches %s: run as root for processes of others", chosen)
	}
	return fmt.Sprintf("no listener matches %s", chosen)
}
