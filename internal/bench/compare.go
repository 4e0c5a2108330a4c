package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"onconn/internal/bench/load"
	"onconn/internal/bench/peer"
	"onconn/internal/cli"
)

// newCompare is "compare", which measures any servers, not only those of the tables.
func newCompare() *cobra.Command {
	var (
		o       options
		t       = Table{Name: "compare"}
		work    string
		pattern string
	)
	cmd := &cobra.Command{
		Use:   "compare [flags] SERVER SERVER...",
		Short: "Compare servers of your own, or some of the list, under one load",
		Long: `compare gives servers the same load in turns and writes one table. The first is what the
others are compared with. A server is a name of bench --list, or a command for sh, where
{addr} stands for the address that it is to listen on and {workers} for --workers. It
stays in the foreground, and ends on SIGTERM. One that is given twice shows how much
two figures differ by chance.

For --work close it closes each connection at once; for http and keepalive it answers a
GET with status 200 and a body of 100 bytes, and closes or not as the client asks.`,
		Example: `  go run ./internal/bench compare --work http c-http loop-http
  go run ./internal/bench compare --work http --load open:500 './old {addr}' './new {addr}'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return cli.Usage(errors.New("compare needs two servers"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if t.Load, err = loadOf(work, pattern); err != nil {
				return cli.Usage(err)
			}
			if o.rounds < 1 || t.Workers < 1 || t.Idle < 0 {
				return cli.Usage(errors.New("--rounds and --workers are at least 1, --idle is at least 0"))
			}
			t.Title, t.Servers = fmt.Sprintf("%s, %s", work, pattern), args
			return o.compare(cmd, t)
		},
	}
	f := cmd.Flags()
	f.StringVar(&work, "work", "http", "what a connection is for: close, http or keepalive")
	f.StringVar(&pattern, "load", "closed:64", "closed:N: N at a time; open:R: R begin in a second")
	f.IntVar(&t.Workers, "workers", 1, "worker processes of each server")
	f.IntVar(&t.Idle, "idle", 0, "HTTP connections that wait beside the load, after a request each")
	f.IntVar(&o.rounds, "rounds", 11, "windows of each server")
	f.DurationVar(&o.window, "window", 0, "length of a window (0: half a second)")
	f.StringVar(&o.cpus, "cpus", "split", "split: servers on one half of the CPUs; all: everything on all")
	return cmd
}

// loadOf understands --work and --load.
func loadOf(work, pattern string) (cfg load.Config, err error) {
	cfg.Work = load.Work(work)
	kind, number, _ := strings.Cut(pattern, ":")
	switch kind {
	case "closed":
		cfg.InFlight, err = strconv.Atoi(number)
	case "open":
		cfg.Rate, err = strconv.ParseFloat(number, 64)
	default:
		err = errors.New("it is neither closed nor open")
	}
	if err != nil {
		return cfg, fmt.Errorf("--load %s: %w", pattern, err)
	}
	return cfg, cfg.Check()
}

func (o *options) compare(cmd *cobra.Command, t Table) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{rounds: o.rounds, window: o.window, progress: progress}
	if b.servers, b.clients, err = split(o.cpus); err != nil {
		return cli.Usage(err)
	}
	if err := b.get(ctx, []Table{t}, dir); err != nil {
		return err
	}
	for i, name := range t.Servers {
		if b.commands[name] == nil && b.missing[name] == nil {
			if !strings.Contains(name, "{addr}") {
				return cli.Usage(fmt.Errorf("%q is no server of bench --list, and no command with {addr}", name))
			}
			b.commands[name] = shell(name)
		}
		if slices.Contains(t.Servers[:i], name) {
			t.Servers[i] = fmt.Sprintf("%s (%d)", name, i+1)
			b.commands[t.Servers[i]], b.missing[t.Servers[i]] = b.commands[name], b.missing[name]
		}
	}
	b.expect([]Table{t}, 1)
	r, err := b.run(ctx, t)
	b.progress("")
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s\n%s\n", machine(o.cpus), markdown(t, []*Run{r}), when(b.rounds))
	return nil
}

// shell runs a command in the place of the shell, so that it gets the signals.
func shell(text string) peer.Command {
	return func(addr string, workers int) []string {
		filled := strings.NewReplacer("{addr}", addr, "{workers}", strconv.Itoa(workers)).Replace(text)
		return []string{"sh", "-c", "exec " + filled}
	}
}
