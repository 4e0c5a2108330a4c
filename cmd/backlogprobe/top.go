package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/cmd/backlogprobe/internal/top"
	"onconn/internal/cli"
	"onconn/internal/terminal"
)

func newTop() *cobra.Command {
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "top [filter]",
		Short: "Watch accept queues live in the terminal",
		Long: `Show the listeners, refreshed each second, and with Enter one of them in
detail: a minute of its queue, who accepts, and whose connections are refused
or wait. h explains keys and columns, q quits.

A filter is :PORT, ADDRESS:PORT, a unix path, pid=N, comm=NAME, unit=NAME, or
of ss: sport = :PORT. One that selects a single listener shows its details.

Queues and drops need no privilege. Run as root for the processes of other
users, for accepts of each process, and for refused clients one by one.`,
		Example: `  backlogprobe top
  sudo backlogprobe top :8080
  backlogprobe top --all-netns comm=nginx`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, style, err := topOptions(cmd, args, interval)
			if err != nil {
				return cli.Usage(err)
			}
			if !terminal.IsTerminal(os.Stdout) || !terminal.IsTerminal(os.Stdin) || os.Getenv("TERM") == "dumb" {
				return errors.New("top needs a terminal: for a pipe or a file there is backlogprobe -w, with --json for programs")
			}
			s, err := survey.Open(o)
			if err != nil {
				return err
			}
			defer s.Close()
			return top.Run(cmd.Context(), s, top.Options{Style: style, Filter: strings.Join(args, " "), Input: os.Stdin, Output: os.Stdout})
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", 10*time.Millisecond, "between samples of the queues")
	return cmd
}

func topOptions(cmd *cobra.Command, args []string, interval time.Duration) (o survey.Options, style terminal.Style, err error) {
	c := commonFlags(cmd)
	o = survey.Options{Netns: c.netns, AllNetns: c.allNetns, Interval: interval, Sum: true, Owners: true, Hurt: true, Accepts: true}
	if c.json {
		return o, style, errors.New("top draws a screen: for JSON there is backlogprobe -w --json")
	}
	if err := checkInterval(interval); err != nil {
		return o, style, err
	}
	if o.Filter, err = survey.ParseFilter(args); err != nil {
		return o, style, err
	}
	style, err = terminal.ForWriter(os.Stdout, c.colour, c.ascii)
	return o, style, err
}
