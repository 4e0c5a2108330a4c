package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"onconn/cluster/control"
	"onconn/internal/cli"
)

func newReload() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "reload [pid | :port]",
		Short: "Replace the workers by new ones, without losing a connection",
		Long: `Start a new worker for each, one after the other. When it is ready, the old one
gets no more connections, finishes those that it has, and ends. If a new worker
is never ready, reload fails and the old ones stay.

A reload takes on a new version of the workers' program, and of its files. For
onconn itself there is onconn upgrade.

Ctrl-C ends only the waiting. ` + whichHelp,
		Example: `  onconn reload
  onconn reload :8000`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return operate(cmd.Context(), path, word(args, 0), func(ctx context.Context, c *control.Client) (string, error) {
				return "reloaded", c.Reload(ctx)
			})
		},
	}
	addControl(cmd, &path)
	return cmd
}

func newScale() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "scale workers [pid | :port]",
		Short: "Change the number of workers, without losing a connection",
		Long: `Start workers until there are so many, and wait until they are ready; or let the
last ones go: they get no more connections and finish those that they have.

` + whichHelp,
		Example: `  onconn scale 8
  onconn scale 2 :8000`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usage(errors.New("how many workers?"))
			}
			return atMost(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 || n > control.MaxWorkers {
				return cli.Usage(fmt.Errorf("%q workers: it is a number from 1 to %d", args[0], control.MaxWorkers))
			}
			return operate(cmd.Context(), path, word(args, 1), func(ctx context.Context, c *control.Client) (string, error) {
				return fmt.Sprintf("scaled to %d", n), c.Scale(ctx, n)
			})
		},
	}
	addControl(cmd, &path)
	return cmd
}

func newUpgrade() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "upgrade [pid | :port]",
		Short: "Make onconn execute its own program anew, without losing a connection",
		Long: `Make a running onconn execute the file that it was started from, which may be a
new version by now, with the same arguments. It keeps its pid, its workers and
its sockets. The new program is tried first: if it can't run, the old one stays.

The workers are not replaced: onconn reload does that.

` + whichHelp,
		Example: `  install onconn.new /usr/local/bin/onconn && onconn upgrade`,
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return operate(cmd.Context(), path, word(args, 0), func(ctx context.Context, c *control.Client) (string, error) {
				return "upgraded", c.Upgrade(ctx)
			})
		},
	}
	addControl(cmd, &path)
	return cmd
}

// operate finds the running onconn and does something that takes time.
func operate(ctx context.Context, path, which string, f func(context.Context, *control.Client) (string, error)) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, err := find(ctx, path, which)
	if err != nil {
		return err
	}
	c.Progress = func(text string) { fmt.Fprintf(os.Stderr, "onconn: pid %d: %s\n", c.PID(), text) }
	done, err := f(ctx, c)
	switch {
	case err == nil:
		fmt.Fprintf(os.Stderr, "onconn: pid %d: %s\n", c.PID(), done)
	case ctx.Err() != nil:
		return errors.New("interrupted: it goes on, and only the waiting has ended")
	}
	return err
}
