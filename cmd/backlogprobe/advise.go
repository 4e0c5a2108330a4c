package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/load"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/cmd/backlogprobe/internal/view"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

type adviseFlags struct {
	common
	watch             time.Duration
	stall, promise    time.Duration
	arrivals, accepts float64
}

// newAdvise says which backlog a listener needs.
func newAdvise() *cobra.Command {
	var f adviseFlags
	cmd := &cobra.Command{
		Use:   "advise FILTER",
		Short: "Say which backlog a listener needs, with the arithmetic",
		Long: `Say which backlog a listener needs: B = λS + 3√(λS), where λ is how many
connections arrive per second and S is the longest time that the server doesn't
accept. No backlog is enough while more arrive than the server accepts, μ.
With --arrivals and --stall it only computes.`,
		Example: `  backlogprobe advise :8080 --for 60s
  backlogprobe advise :8080 --stall 500ms    for a stall that wasn't seen
  backlogprobe advise --arrivals 1500 --accepts 2000 --stall 80ms`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.common = commonFlags(cmd)
			return f.run(cmd, args)
		},
		ValidArgsFunction: completeFilter,
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.watch, "for", 10*time.Second, "how long to watch, 2s or more")
	flags.DurationVar(&f.stall, "stall", 0, "longest stall, rather than the one that is seen")
	flags.DurationVar(&f.promise, "promise", time.Second, "longest that a client may wait, 0 any")
	flags.Float64Var(&f.arrivals, "arrivals", 0, "per second, rather than watching")
	flags.Float64Var(&f.accepts, "accepts", 0, "per second that the server can take")
	flags.SortFlags = false
	return cmd
}

func (f *adviseFlags) run(cmd *cobra.Command, args []string) error {
	offline := cmd.Flags().Changed("arrivals") || cmd.Flags().Changed("accepts")
	switch {
	case f.arrivals < 0 || f.accepts < 0 || f.stall < 0 || f.promise < 0:
		return usage("--arrivals, --accepts, --stall and --promise can't be negative")
	case offline && len(args) > 0:
		return usage("with --arrivals nothing is watched: leave the filter out")
	case offline && f.arrivals == 0:
		return usage("--accepts needs --arrivals: how many come per second?")
	case offline && f.stall == 0:
		return usage("--arrivals needs --stall: how long does the server not accept, at most? as in --stall 200ms")
	case !offline && len(args) == 0:
		return usage("advise needs a filter, as in: backlogprobe advise :8080; or --arrivals and --stall")
	case !offline && f.watch < 2*time.Second:
		return usage("--for is 2s or more: connections are counted by the second")
	}
	if offline {
		return f.offline()
	}
	return f.online(args)
}

func (f *adviseFlags) offline() error {
	l := load.Load{Known: true, Arrivals: f.arrivals, Accepts: f.accepts}
	a, err := load.Advise(l, f.stall, f.promise)
	if err != nil {
		return err
	}
	style, err := f.style(os.Stdout)
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(newAdviceJSON(l, a, nil), terminal.IsTerminal(os.Stdout))
	}
	(&adviceText{w: os.Stdout, s: style, l: l, a: a}).write()
	return nil
}

func (f *adviseFlags) online(args []string) error {
	r, row, err := f.one(args)
	if err != nil {
		return err
	}
	if row.Port == 0 {
		return fmt.Errorf("%s: the kernel doesn't count what arrives at unix sockets; use --arrivals and --stall", row.Local)
	}
	style, err := f.style(os.Stdout)
	if err != nil {
		return err
	}
	l, err := f.measure(row)
	if err != nil {
		return err
	}
	switch {
	case l.Sockets == 0:
		return fmt.Errorf("%s has stopped listening meanwhile", row.Local)
	case !l.Known:
		return fmt.Errorf("%s: the host has so many connections that they can't be counted in %s: try --for 60s", row.Local, words.Duration(l.Watched))
	}
	a, err := load.Advise(l, f.stall, f.promise)
	if err != nil {
		return fmt.Errorf("%s: %w", row.Local, err)
	}
	if f.json {
		return writeJSON(newAdviceJSON(l, a, row), terminal.IsTerminal(os.Stdout))
	}
	(&adviceText{w: os.Stdout, s: style, l: l, a: a, asked: f.stall > 0, row: row, report: r}).write()
	return nil
}

// measure watches until the time is over, or somebody has seen enough.
func (f *adviseFlags) measure(row *survey.Row) (load.Load, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ns, err := namespaceOf(row)
	if err != nil {
		return load.Load{}, err
	}
	defer ns.Close()
	var inodes []uint32
	for _, s := range sockets(row) {
		inodes = append(inodes, s.Inode)
	}
	progress := f.progress()
	done := showProgress(ctx, progress, f.watch, fmt.Sprintf("watching %s for %s; Ctrl-C: enough", row.Local, words.Duration(f.watch)))
	defer done()
	return load.Measure(ctx, ns, uint16(row.Port), inodes, f.watch)
}

// adviceText writes an advice for people.
type adviceText struct {
	w      io.Writer
	s      terminal.Style
	l      load.Load
	a      load.Advice
	asked  bool        // the stall was given
	row    *survey.Row // nil: offline
	report *survey.Report
}

func (t *adviceText) write() {
	t.watched()
	t.arithmetic()
	for i, line := range t.verdict() {
		name := "verdict"
		if i > 0 {
			name = ""
		}
		t.item(name, "%s", line)
	}
	t.try()
}

// item writes a line, or more, under a name.
func (t *adviceText) item(name, format string, args ...any) {
	view.Item(t.w, t.s, 1, 14, name, fmt.Sprintf(format, args...))
}

func (t *adviceText) watched() {
	l, in := t.l, t.a.Load
	if t.row == nil {
		return
	}
	each := ""
	if l.Sockets > 1 {
		each = fmt.Sprintf(", for each of %d sockets", l.Sockets)
	}
	t.item("watched", "%s %s for %s: peak %d of %d, full for %s%s", t.row.Local, view.Processes(t.row, t.s, false),
		words.Duration(l.Watched), l.Peak, l.Limit+1, words.Duration(l.Full), each)
	arrivals := fmt.Sprintf("%s/s on average", words.Rate(l.Arrivals/float64(l.Sockets)))
	if l.Busiest > l.Arrivals {
		arrivals += fmt.Sprintf(", %s in the busiest second", words.Rate(l.Busiest/float64(l.Sockets)))
	}
	if t.a.Retries {
		arrivals += fmt.Sprintf("; with those refused %s/s, but they count again when they retry (root sees the clients behind them)", words.Rate(in.Arrivals))
	} else if l.Refused > 0 && l.Tried > 0 {
		arrivals = fmt.Sprintf("%s/s try, retries left out; %s/s get in", words.Rate(l.Tried/float64(l.Sockets)), words.Rate(l.Arrivals/float64(l.Sockets)))
	}
	t.item("arrivals  "+t.greek("λ"), "%s", arrivals)
	accepts := fmt.Sprintf("%s/s, in %s in which the queue was never empty", words.Rate(in.Accepts), words.Count(l.BusySeconds, "second"))
	if l.BusySeconds == 0 {
		accepts = fmt.Sprintf("%s/s or more: %s", words.Rate(l.Seen/float64(l.Sockets)), whyNoAccepts(l))
	}
	t.item("accepts   "+t.greek("μ"), "%s", accepts)
	stalls := "none seen"
	if l.Stall > 0 {
		stalls = fmt.Sprintf("the longest %s, %s in all: the queue didn't become shorter", words.Duration(l.Stall), words.Count(l.Stalls, "stall"))
	}
	switch {
	case t.asked:
		stalls += fmt.Sprintf("; computed with %s, as you say", in.Stall)
	case l.Stall == 0:
		stalls += fmt.Sprintf("; computed with the %s between samples. To be safe against a longer one, say --stall 200ms", in.Stall)
	}
	t.item("stalls    S", "%s", stalls)
}

// whyNoAccepts says why it isn't known what the server can take.
func whyNoAccepts(l load.Load) string {
	if l.Idle {
		return "the queue ran empty every second, so the server's limit wasn't reached"
	}
	return "connections weren't counted in the seconds in which it was never empty; try a longer --for"
}

// greek spells letters out where there are none.
func (t *adviceText) greek(text string) string {
	if !t.s.ASCII {
		return text
	}
	return strings.NewReplacer("λ", "l", "μ", "m", "√", "sqrt", "·", "*", "−", "-").Replace(text)
}

func (t *adviceText) arithmetic() {
	a := t.a
	have := ""
	if t.row != nil {
		have = fmt.Sprintf("; you have %d", t.l.Limit)
	}
	if a.Overloaded && a.Retries {
		return // λ is not known well enough
	}
	t.item("needed", "%s", t.greek(fmt.Sprintf("B = λS + 3√(λS) = %s/s·%s + margin = %.0f + %.0f = %d%s",
		words.Rate(a.Load.Arrivals), words.Duration(a.Load.Stall), a.Mean, a.Margin, a.Backlog, have)))
	t.item("memory", "%s of the kernel's for a full queue, besides what clients send; it counts for no cgroup until accept", words.Bytes(a.Memory))
}

// verdict is what it comes to.
func (t *adviceText) verdict() (lines []string) {
	a, l := t.a, t.l
	switch {
	case a.Overloaded && t.row == nil:
		lines = append(lines, t.greek(fmt.Sprintf("More arrive than are accepted (λ > μ): no backlog is enough. One of %d fills in %s.", a.Backlog, words.Duration(a.Advice.FillsIn))),
			"Accept faster, add workers, or shed load.")
	case a.Overloaded && a.Retries:
		lines = append(lines, t.greek("The backlog is not the problem: more arrive than are accepted (λ > μ). Any queue fills, however long."), "Accept faster, add workers, or shed load.")
	case a.Overloaded:
		lines = append(lines, t.greek(fmt.Sprintf("The backlog is not the problem: more arrive than are accepted (λ > μ). At this rate any queue fills: one of %d in %s, one of 4096 in %s, B/(λ−μ).",
			l.Limit, words.Duration(a.FillsIn), words.Duration(a.FillsIn*4097/time.Duration(l.Limit+1)))), "Accept faster, add workers, or shed load.")
	case t.row == nil:
		lines = append(lines, fmt.Sprintf("A backlog of %d.", a.Recommended))
	case l.Limit >= a.Recommended:
		lines = append(lines, fmt.Sprintf("Your %d is enough. At %s/s it stands a stall of %s.", l.Limit, words.Rate(a.Load.Arrivals), words.Duration(a.Stands)))
	default:
		why := ""
		if a.Recommended > a.Backlog {
			why = " (bursts want more than the stalls)"
		}
		lines = append(lines, fmt.Sprintf("Your %d is too small: it stands a stall of %s only. Use %d or more%s.", l.Limit, words.Duration(a.Stands), a.Recommended, why))
	}
	return append(lines, t.promise()...)
}

// promise compares with the longest wait that is allowed.
func (t *adviceText) promise() (lines []string) {
	a := t.a
	if a.BreaksPledge && t.row != nil {
		lines = append(lines, fmt.Sprintf("In a full queue of %d the last one waits %s.", t.l.Limit, words.Duration(a.LastWaits)))
	}
	if a.Load.Promise > 0 && a.Load.Accepts > 0 && (a.BreaksPledge || a.Overloaded || a.Most < a.Recommended) {
		lines = append(lines, t.greek(fmt.Sprintf("For a wait of %s at most, keep the backlog at μ·%s = %d or less, and let the others fail early.",
			a.Load.Promise, a.Load.Promise, a.Most)))
	}
	return lines
}

func (t *adviceText) try() {
	if t.row == nil || t.a.Overloaded || t.l.Limit >= t.a.Recommended {
		return
	}
	target := t.report.Target(t.row)
	if most := t.report.Namespaces[0].Sysctls.Somaxconn; most >= 0 && most < t.a.Recommended {
		t.item("", "net.core.somaxconn is %d, which caps it: raise that first.", most)
	}
	t.item("try", "backlogprobe set %s %d", target, t.a.Recommended)
}
