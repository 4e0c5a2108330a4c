package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"onconn/cluster"
	"onconn/internal/chaos"
	"onconn/internal/cli"
	"onconn/internal/terminal"
)

// errMissed: the run found something that may not be. The report says what.
var errMissed = errors.New("the bar is missed")

func newChaos() *cobra.Command {
	o := chaos.Options{Args: []string{"chaos"}}
	var mode, colour string
	var asJSON, ascii, verbose bool
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Kill, stop, reload and upgrade a cluster under load, and account for each loss",
		Long: `Clients in processes of their own send numbered requests to a primary with
workers, over short and over keep-alive connections, and check every byte of
the answers. Meanwhile a script, which depends on the seed alone, kills workers
(one or all), has them crash, stops and stalls them, takes their descriptors
away, reloads, scales and upgrades. Each lost request is then attributed: a
worker that the script ended had it in hand, or it is unexplained. The exit
code is 1 if a loss is unexplained, or if anything was wrong, handled twice,
refused or left hanging. Everything stays on the loopback interface. Two CPUs
make about 7,000 connections in a second, so the million of the default takes
two to three minutes of both.`,
		Example: `  onconn chaos --connections 50000
  onconn chaos --mode reuseport --seed 7
  onconn chaos --connections 0 --time 1m --json`,
		Args: atMost(0),
		RunE: func(_ *cobra.Command, _ []string) (err error) {
			if chaos.HasRole() {
				os.Exit(chaos.Role())
			}
			if o.Mode, err = cluster.ParseMode(mode); err == nil {
				err = o.Validate()
			}
			if err != nil {
				return cli.Usage(err)
			}
			style, err := terminal.ForWriter(os.Stdout, colour, ascii)
			if err != nil {
				return cli.Usage(err)
			}
			if o.Seed == 0 {
				o.Seed = rand.Uint64N(1e6) + 1
			}
			if verbose {
				o.Stderr = os.Stderr
			}
			return runChaos(o, style, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&mode, "mode", "m", "rr", "how connections reach the workers: rr, shared, reuseport")
	flags.IntVar(&o.Connections, "connections", 1000000, "how many; 0: until --time is over")
	flags.DurationVar(&o.Time, "time", 0, "how long at most; 0: until the connections are made")
	flags.Uint64Var(&o.Seed, "seed", 0, "of the script and the requests; 0: any, which the report tells")
	flags.Float64Var(&o.KeepAlive, "keep-alive-share", 0.15, "of the connections, those with several requests")
	flags.IntVarP(&o.Workers, "workers", "n", 3, "number of workers, 2 or more")
	flags.BoolVar(&o.Migrate, "migrate", false, "in a network namespace of its own with net.ipv4.tcp_migrate_req=1 (root)")
	flags.BoolVar(&asJSON, "json", false, "print the report as JSON")
	flags.BoolVarP(&verbose, "verbose", "v", false, "let the primary and the workers write to standard error")
	flags.StringVar(&colour, "color", "auto", "auto, always or never")
	flags.BoolVar(&ascii, "ascii", false, "draw with ASCII characters only")
	cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"rr", "shared", "reuseport"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runChaos(o chaos.Options, style terminal.Style, asJSON bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	progress := terminal.NewProgress(os.Stderr)
	defer progress.Done()
	o.Progress = func(connections, events int) {
		fraction := -1.0
		if o.Connections > 0 {
			fraction = float64(connections) / float64(o.Connections)
		}
		progress.Set(fraction, fmt.Sprintf("%d connections, %d events, seed %d", connections, events, o.Seed))
	}
	report, err := chaos.Run(ctx, o)
	progress.Done()
	if err != nil {
		return err
	}
	if asJSON {
		err = writeJSON(os.Stdout, report)
	} else {
		report.Write(os.Stdout, style)
	}
	if err == nil && !report.Passed {
		err = errMissed
	}
	return err
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
