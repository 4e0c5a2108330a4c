package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/demo"
	"onconn/cmd/syscallflow/internal/follow"
	"onconn/cmd/syscallflow/internal/session"
	"onconn/cmd/syscallflow/internal/tracer"
	"onconn/internal/cli"
)

// recordFlags say what is recorded, for every command that runs a program.
type recordFlags struct {
	attach   []int
	requests int
	url      string
	ready    time.Duration
	settle   time.Duration
	grace    time.Duration
	waits    bool
	packets  bool
	size     int
}

func (f *recordFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.requests, "requests", 0, "make so many requests once the program listens, then end it")
	flags.StringVar(&f.url, "url", "", "where the requests go: http://HOST:PORT/PATH")
	flags.DurationVar(&f.ready, "ready", 20*time.Second, "how long the program may take until it listens")
	flags.DurationVar(&f.settle, "settle", 300*time.Millisecond, "how long it must have been quiet before the requests")
	flags.DurationVar(&f.grace, "grace", 3*time.Second, "how long it may take to end, after SIGINT and again after SIGTERM")
	flags.IntSliceVarP(&f.attach, "attach", "p", nil, "trace processes that run already, and their descendants; Ctrl-C lets go")
	flags.BoolVar(&f.waits, "waits", true, "epoll_wait, poll and their like too")
	flags.BoolVar(&f.packets, "packets", true, "packets (with root or CAP_NET_RAW) and accept queues too")
	flags.IntVarP(&f.size, "string", "s", 128, "how many bytes are kept of what is sent and received")
	flags.SortFlags = false
}

// config checks the flags.
func (f *recordFlags) config(args []string) (c session.Config, err error) {
	c = session.Config{
		Command: tracer.Command{Args: args}, Attach: f.attach, Waits: f.waits, Packets: f.packets,
		Prefix: f.size, Requests: f.requests, Ready: f.ready, Settle: f.settle, Grace: f.grace,
	}
	switch {
	case len(args) == 0 && len(f.attach) == 0:
		return c, cli.Usage(errors.New("no program to run: syscallflow [flags] -- PROGRAM [ARGS]"))
	case len(args) > 0 && len(f.attach) > 0:
		return c, cli.Usage(errors.New("either a program or --attach"))
	case f.requests < 0 || f.size < 1 || f.ready <= 0 || f.settle <= 0 || f.grace <= 0:
		return c, cli.Usage(errors.New("--requests, --string, --ready, --settle and --grace want a positive value"))
	case (f.requests > 0) != (f.url != ""):
		return c, cli.Usage(errors.New("--requests and --url go together: --requests 4 --url http://127.0.0.1:8000/"))
	case f.requests > 0 && len(f.attach) > 0:
		return c, cli.Usage(errors.New("--requests is for a program that is started, since it is ended afterwards"))
	}
	if f.url != "" {
		if c.URL, err = demo.Parse(f.url); err != nil {
			return c, cli.Usage(err)
		}
	}
	return c, nil
}

// record runs the program. Its output goes to our standard error, so that ours can
// go into a file.
func (f *recordFlags) record(cmd *cobra.Command, args []string) (session.Result, error) {
	c, err := f.config(args)
	if err != nil {
		return session.Result{}, err
	}
	c.Command.Stdout = os.Stderr
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if len(c.Attach) > 0 {
		fmt.Fprintln(os.Stderr, "syscallflow: a process that runs already can't be given a seccomp filter: "+
			"all of its calls stop, so it is slower. Ctrl-C lets go of it.")
	}
	result, err := session.Record(ctx, c)
	if result.Recording != nil && result.Status != 0 && !result.Ended {
		fmt.Fprintf(os.Stderr, "syscallflow: the program ended: %s\n", follow.Status(result.Status))
	}
	return result, err
}

func newRecord() *cobra.Command {
	var f recordFlags
	var output string
	cmd := &cobra.Command{
		Use:   "record -o FILE [flags] -- PROGRAM [ARGS]",
		Short: "Record a run, to be drawn later, without root",
		Example: `  syscallflow record -o node.json --requests 4 --url http://127.0.0.1:8000/ -- node cluster.js
  syscallflow record -o nginx.json -- nginx -g 'daemon off;'
  syscallflow record -o running.json -p 4711`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return cli.Usage(errors.New("-o says where the recording goes"))
			}
			if err := writable(output); err != nil {
				return err
			}
			result, err := f.record(cmd, args)
			if err != nil {
				return err
			}
			file, err := os.Create(output)
			if err != nil {
				return err
			}
			return errors.Join(result.Write(file), file.Close())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file of the recording, JSON")
	f.add(cmd)
	return cmd
}
