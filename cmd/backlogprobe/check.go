package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/nagios"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/cli"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

type checkFlags struct {
	common
	limits nagios.Thresholds
	sample time.Duration
	strict bool
}

// newCheck is a plugin for Nagios and all that took over its conventions.
func newCheck() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [FILTER]",
		Short: "Check accept queues for monitoring and CI, with the exit codes of Nagios",
		Long: `Check accept queues, as a plugin of Nagios or in CI. Exit codes: 0 OK,
1 WARNING, 2 CRITICAL (also if nothing listens there), 3 UNKNOWN, 64 usage.`,
		Example: `  backlogprobe check                                every listener
  backlogprobe check :8080 --warn-fill 50 --max-drops 0
  backlogprobe check :8080 --min-limit 1024         fails a build`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.common = commonFlags(cmd)
			return f.run(args)
		},
		ValidArgsFunction: completeFilter,
	}
	flags := cmd.Flags()
	flags.Float64Var(&f.limits.WarnFill, "warn-fill", 80, "WARNING at this peak, % of the capacity")
	flags.Float64Var(&f.limits.CritFill, "crit-fill", 100, "CRITICAL at this peak, %")
	flags.IntVar(&f.limits.MaxDrops, "max-drops", -1, "CRITICAL with more packets refused")
	flags.IntVar(&f.limits.MaxHurt, "max-hurt", -1, "CRITICAL with more clients refused")
	flags.IntVar(&f.limits.MinLimit, "min-limit", 0, "CRITICAL below this backlog")
	flags.DurationVar(&f.sample, "sample", time.Second, "how long to look; 0 reads once")
	flags.BoolVar(&f.strict, "strict", false, "UNKNOWN, rather than OK, if something may not be seen")
	flags.SortFlags = false
	return cmd
}

func (f *checkFlags) run(args []string) error {
	chosen, err := parseFilter(args)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := f.look(ctx, chosen)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		fmt.Printf("BACKLOG UNKNOWN - %s\n", nagios.Line(err.Error()))
		return cli.ExitCode(nagios.Unknown)
	}
	result := nagios.Check(r, f.limits, chosen, f.strict)
	if f.json {
		if err := writeJSON(result, terminal.IsTerminal(os.Stdout)); err != nil {
			return err
		}
	} else {
		fmt.Print(result.Text(!f.quiet))
	}
	if result.Code == nagios.OK {
		return nil
	}
	return cli.ExitCode(result.Code)
}

func (f *checkFlags) check() error {
	l := f.limits
	switch {
	case l.WarnFill < 0 || l.CritFill < 0:
		return usage("--warn-fill and --crit-fill are percentages: they can't be negative")
	case l.WarnFill > l.CritFill:
		return usage(fmt.Sprintf("--warn-fill %g is above --crit-fill %g, so it would never warn", l.WarnFill, l.CritFill))
	case l.MaxDrops < -1 || l.MaxHurt < -1 || l.MinLimit < 0:
		return usage("--max-drops, --max-hurt and --min-limit are numbers from 0")
	case f.sample < 0:
		return usage(fmt.Sprintf("--sample %v is negative", f.sample))
	case f.sample == 0 && l.MaxDrops >= 0:
		return usage("--max-drops needs a --sample longer than 0: one reading shows no refusals")
	case f.sample < time.Second && l.MaxHurt >= 0:
		return usage("--max-hurt needs a --sample of 1s or more: refused clients try again after a second")
	}
	return nil
}

func (f *checkFlags) look(ctx context.Context, chosen survey.Filter) (*survey.Report, error) {
	s, err := f.survey(survey.Options{
		Filter: chosen,
		Sum:    true,
		Owners: true,
		Hurt:   f.sample > 2*time.Second,
		Once:   f.sample == 0,
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	progress := f.progress()
	defer progress.Done()
	if f.sample > time.Second/2 {
		defer showProgress(ctx, progress, f.sample, "looking for "+words.Duration(f.sample))()
	}
	return s.Look(ctx, f.sample)
}
