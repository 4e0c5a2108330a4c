package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"onconn/cluster"
	"onconn/cluster/control"
	"onconn/internal/cli"
	"onconn/internal/terminal"
)

type statusFlags struct {
	control string
	json    bool
	watch   time.Duration
	colour  string
	ascii   bool
	style   terminal.Style
}

func newStatus() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [pid | :port]",
		Short: "Show what the workers of a running onconn do",
		Long: `Show the workers and the listening sockets of a running onconn.

Columns of workers:
  Slot      place of a worker and of its successors
  State     starting, online, hung (takes nothing of what waits for it), draining
  Age       since it was started
  Taken     connections, since then
  Active    connections that are open
  Queue     connections handed to it that it has not taken yet
  Restarts  of the slot, after a death
  Alive     since it last showed that it runs
  CPU, RSS  time and resident memory of the process
Of a program that knows only LISTEN_FDS nobody knows Taken, Active and Alive: -.

Columns of listeners:
  Recv-Q    connections that wait in the accept queues
  Send-Q    limit of one accept queue
  Drops     packets that full queues dropped; - where the kernel doesn't count
  Held      connections that the primary has accepted and no worker has room for
  Sockets   more than one in reuseport mode
In reuseport mode a line tells how the kernel chooses among the sockets, and
from which slots it is steered away: their workers hang, are full or missing.

` + whichHelp,
		Example: `  onconn status
  onconn status :8000 --watch
  onconn status --json | jq '.workers[].pid'`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if f.style, err = terminal.ForWriter(os.Stdout, f.colour, f.ascii); err != nil {
				return cli.Usage(err)
			}
			if cmd.Flags().Changed("watch") && f.watch < 100*time.Millisecond {
				return cli.Usage(fmt.Errorf("--watch is %v: it is 100ms or more", f.watch))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if _, err := time.ParseDuration(word(args, 0)); err == nil && cmd.Flags().Changed("watch") {
				return cli.Usage(fmt.Errorf("%q after --watch: it is --watch=%s", args[0], args[0]))
			}
			c, err := find(ctx, f.control, word(args, 0))
			if err != nil {
				return err
			}
			return f.show(ctx, c)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addControl(cmd, &f.control)
	flags.BoolVarP(&f.json, "json", "j", false, "print JSON; one object a line when repeating")
	flags.DurationVarP(&f.watch, "watch", "w", 0, "repeat, each second if no other time is given (--watch=5s)")
	flags.Lookup("watch").NoOptDefVal = "1s"
	flags.StringVar(&f.colour, "color", "auto", "auto, always or never")
	flags.BoolVar(&f.ascii, "ascii", false, "draw with ASCII characters only")
	cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// show prints the status, once or until ctx is done.
func (f *statusFlags) show(ctx context.Context, c *control.Client) error {
	var last cluster.Status
	for answered := false; ; {
		s, err := c.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if err := f.print(s); err != nil {
				return err
			}
			last, answered = s, true
		case f.watch == 0 || !answered || last.Doing != "upgrade": // in an upgrade it is away for a moment
			return err
		default:
			last.Doing = ""
		}
		if f.watch == 0 {
			return nil
		}
		select {
		case <-time.After(f.watch):
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *statusFlags) print(s cluster.Status) error {
	if f.json {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		if f.watch == 0 {
			e.SetIndent("", "  ")
		}
		return e.Encode(s)
	}
	text := statusText(s, time.Now(), f.style)
	if f.watch > 0 {
		if terminal.IsTerminal(os.Stdout) {
			text = "\x1b[H\x1b[2J" + text
		} else {
			text += "\n"
		}
	}
	_, err := io.WriteString(os.Stdout, text)
	return err
}
