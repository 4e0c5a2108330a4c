package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"onconn/cmd/syscallflow/internal/schedview"
	"onconn/internal/cli"
	"onconn/internal/sched"
	"onconn/internal/terminal"
)

// schedOptions are the flags of syscallflow sched.
type schedOptions struct {
	ways                   []string
	hermes                 []int
	scale                  float64
	html, replay           string
	json, ascii, quiet     bool
	colour                 string
	workers, clients, runs int
	seed                   uint64
}

// newSched is the command that compares ways to share a port.
func newSched() *cobra.Command {
	var o schedOptions
	cmd := &cobra.Command{
		Use:   "sched",
		Short: "Compare ways to share a port: who gets the connections, how long clients wait",
		Long: `Workers share a port on the loopback interface in different ways, one after the
other: idle, loaded, and loaded while one of them hangs. Client processes send at
moments fixed beforehand, the same for all ways, and count from when a connection
was due. What is shown is how many connections each worker got, and how long
clients waited. It takes half a minute.

The ways turns and least need CAP_BPF. Without, they are left out and it says so.`,
		Example: `  syscallflow sched
  syscallflow sched --way exclusive,shared --runs 5 --html sched.html
  syscallflow sched --hermes 4 --runs 5          # of docs/hermes.md
  syscallflow sched --json > r.json; syscallflow sched --replay r.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usage(fmt.Errorf("sched takes flags only, not %q", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if sched.IsChild() {
				return sched.Child()
			}
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.ways, "way", nil, "ways to compare: exclusive, level, shared, rr, hash, turns, least")
	f.IntVarP(&o.workers, "workers", "n", 4, "number of workers, 2 to 32")
	f.IntVar(&o.runs, "runs", 1, "how many times each is measured, in turns; figures are medians")
	f.Float64Var(&o.scale, "scale", 1, "how much longer than usual each case takes")
	f.IntSliceVar(&o.hermes, "hermes", nil, "instead of the usual cases, these of docs/hermes.md: 1 to 5")
	f.IntVar(&o.clients, "clients", 2, "number of client processes")
	f.Uint64Var(&o.seed, "seed", 0, "of the moments when clients come; 0: any, which the report tells")
	f.StringVar(&o.html, "html", "", "write a page with plots, too")
	f.StringVar(&o.replay, "replay", "", "measure nothing: show what --json has written")
	f.BoolVarP(&o.json, "json", "j", false, "print JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
	f.StringVar(&o.colour, "color", "auto", "auto, always or never")
	f.BoolVar(&o.ascii, "ascii", false, "draw with ASCII characters only")
	return cmd
}

func (o *schedOptions) run(cmd *cobra.Command) error {
	style, err := terminal.ForWriter(os.Stdout, o.colour, o.ascii)
	if err != nil {
		return cli.Usage(err)
	}
	if err := writable(o.html); err != nil {
		return err
	}
	report, err := o.report(cmd.Context())
	if err != nil {
		return err
	}
	if o.html != "" {
		if err := writeSchedPage(o.html, report); err != nil {
			return err
		}
	}
	if o.json {
		return schedview.WriteJSON(os.Stdout, report)
	}
	return schedview.WriteText(os.Stdout, style, report)
}

// report measures, or reads what was measured before.
func (o *schedOptions) report(ctx context.Context) (*sched.Report, error) {
	if o.replay != "" {
		return schedview.ReadJSON(o.replay)
	}
	c, err := o.config()
	if err != nil {
		return nil, cli.Usage(err)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !o.quiet {
		progress := terminal.NewProgress(os.Stderr)
		defer progress.Done()
		c.Progress = progress.Set
	}
	r, err := sched.Run(ctx, c)
	if errors.Is(err, context.Canceled) {
		return nil, errors.New("interrupted")
	}
	return r, err
}

func (o *schedOptions) config() (c sched.Config, err error) {
	switch {
	case o.workers < 2 || o.workers > 32:
		return c, fmt.Errorf("--workers %d: 2 to 32", o.workers)
	case o.runs < 1 || o.clients < 1:
		return c, errors.New("--runs and --clients are 1 or more")
	case o.scale <= 0 || o.scale > 100:
		return c, fmt.Errorf("--scale %g: above 0, at most 100", o.scale)
	}
	exe, err := os.Executable()
	if err != nil {
		return c, err
	}
	c = sched.Config{Command: []string{exe, "sched"}, Workers: o.workers, Clients: o.clients, Repeat: o.runs, Seed: o.seed}
	if c.Seed == 0 {
		c.Seed = rand.Uint64N(1e6) + 1
	}
	for _, name := range o.ways {
		w, err := sched.ParseWay(name)
		if err != nil {
			return c, err
		}
		c.Ways = append(c.Ways, w)
	}
	c.Cases = sched.Usual(runtime.NumCPU())
	if len(o.hermes) > 0 {
		if c.Cases, err = hermes(o.hermes); err != nil {
			return c, err
		}
		if c.Ways == nil {
			c.Ways = sched.HermesWays()
		}
	}
	for i := range c.Cases {
		c.Cases[i] = c.Cases[i].Scale(o.scale)
	}
	return c, nil
}

func hermes(numbers []int) (cases []sched.Case, err error) {
	all := sched.Hermes(runtime.NumCPU())
	for _, n := range numbers {
		if n < 1 || n > len(all) {
			return nil, fmt.Errorf("--hermes %d: 1 to %d", n, len(all))
		}
		cases = append(cases, all[n-1])
	}
	return cases, nil
}

func writeSchedPage(name string, report *sched.Report) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(schedview.WriteHTML(file, report), file.Close())
}
