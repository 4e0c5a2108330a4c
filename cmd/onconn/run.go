package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"onconn/cluster"
	"onconn/listen"
)

// runFlags are the flags of onconn run, as they were given.
type runFlags struct {
	workers   int
	listen    []string
	mode      string
	policy    string
	backlog   int
	maxConns  int
	drain     time.Duration
	quiet     bool
	json      bool
	addresses []cluster.Address // of listen, by check
	command   []string          // after --
}

func newRun(use string) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: "Serve with several worker processes",
		Long: `A primary opens the listening sockets and starts the workers. Without a
command the workers are a built-in demo that says hello over HTTP, and each
second a line tells how many requests there were and which worker got how
many connections. Ctrl-C drains: no new connections, those that are open
finish, and onconn exits with 0. A second Ctrl-C doesn't wait.

A command is a Go program that calls cluster.Listen, in any mode. In shared
and reuseport mode it may be any server that takes its listening sockets from
systemd (LISTEN_FDS, sd_listen_fds(3)): onconn passes those of --listen.

Modes:
  rr         the primary accepts and gives each connection to a worker
  shared     the workers accept from one listening socket
  reuseport  each worker accepts from its own socket, the kernel chooses`,
		Example: `  onconn                                  the demo, a worker per CPU, port 8000
  onconn -n 4 -l 127.0.0.1:8080 -l /tmp/hello.sock
  onconn --policy least-loaded --max-conns 100
  onconn -n 2 -m shared -l :8080 -- python3 server.py
  onconn -- ./my-go-server --its-own flags`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return usageError{err}
			}
			if cluster.IsWorker() {
				return hello(f.addresses)
			}
			return f.run()
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVarP(&f.workers, "workers", "n", 0, "number of workers; 0: one for each CPU")
	flags.StringArrayVarP(&f.listen, "listen", "l", nil, "address, repeatable: host:port, :port, tcp4://..., tcp6://...,\na unix path with a slash, @abstract, fd:3 (default :8000; none with a command)")
	flags.StringVarP(&f.mode, "mode", "m", "rr", "how connections reach the workers: rr, shared, reuseport")
	flags.StringVar(&f.policy, "policy", "", "which worker is next, in rr mode: round-robin, least-loaded,\nsource-hash, weighted=3,1,... (default round-robin)")
	flags.IntVar(&f.backlog, "backlog", listen.DefaultBacklog, "limit of the accept queue; -1: as much as the kernel allows")
	flags.IntVar(&f.maxConns, "max-conns", 0, "connections that a worker holds at a time, for each address; 0: any number")
	flags.DurationVar(&f.drain, "drain-timeout", cluster.DefaultDrainTimeout, "how long workers may take to finish when they are to go")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print only what goes wrong")
	flags.BoolVar(&f.json, "json", false, "print events and counts as JSON, one object a line")
	complete := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	cmd.RegisterFlagCompletionFunc("mode", complete("rr", "shared", "reuseport"))
	cmd.RegisterFlagCompletionFunc("policy", complete("round-robin", "least-loaded", "source-hash", "weighted="))
	return cmd
}

// check finds every mistake before anything is opened.
func (f *runFlags) check(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	switch {
	case dash < 0 && len(args) > 0:
		return fmt.Errorf("unknown command %q: a worker's command stands after --", args[0])
	case dash > 0:
		return fmt.Errorf("unexpected %q before --", args[0])
	case dash == 0 && len(args) == 0:
		return fmt.Errorf("no command after --")
	}
	f.command = args
	if len(f.listen) == 0 && len(args) == 0 {
		f.listen = []string{":8000"}
	}
	for _, s := range f.listen {
		a, err := parseAddress(s)
		if err != nil {
			return err
		}
		f.addresses = append(f.addresses, a)
	}
	switch {
	case f.workers < 0:
		return fmt.Errorf("--workers is %d: it is 1 or more, or 0 for one for each CPU", f.workers)
	case f.maxConns < 0:
		return fmt.Errorf("--max-conns is %d: it is 1 or more, or 0 for any number", f.maxConns)
	case f.drain <= 0:
		return fmt.Errorf("--drain-timeout is %v: it is longer than 0", f.drain)
	case f.backlog == 0, f.backlog < -1, f.backlog > math.MaxInt32:
		return fmt.Errorf("--backlog is %d: it is 1 to %d, or -1 for as much as the kernel allows", f.backlog, math.MaxInt32)
	}
	_, err := f.config()
	return err
}

// config is the cluster's configuration, without what watches it.
func (f *runFlags) config() (cfg cluster.Config, err error) {
	cfg = cluster.Config{
		Workers: f.workers, Listen: f.addresses, MaxConns: f.maxConns, DrainTimeout: f.drain,
		ListenConfig: listen.Config{Backlog: f.backlog},
	}
	if cfg.Mode, err = cluster.ParseMode(f.mode); err != nil {
		return cfg, err
	}
	if f.policy != "" {
		if cfg.Mode != cluster.RoundRobin {
			return cfg, fmt.Errorf("--policy %s needs --mode rr: in %s mode the kernel chooses the worker", f.policy, f.mode)
		}
		if cfg.Policy, err = cluster.ParsePolicy(f.policy); err != nil {
			return cfg, err
		}
	}
	for i, a := range f.addresses {
		if cfg.Mode == cluster.ReusePort && !strings.HasPrefix(a.Network, "tcp") {
			return cfg, fmt.Errorf("address %q: reuseport mode needs a tcp address", f.listen[i])
		}
	}
	if len(f.command) > 0 {
		cfg.Exec, cfg.Args = f.command[0], f.command[1:]
	}
	return cfg, nil
}

func (f *runFlags) run() error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.quiet {
		level = slog.LevelWarn
	}
	r := newReport(f)
	defer r.out.end()
	log := newOutput(os.Stderr)
	defer log.end()
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level}))
	cfg.OnEvent = r.event
	p, err := cluster.New(cfg)
	if err != nil {
		return usageError{err}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer close(signals)
	defer signal.Stop(signals)
	if err := p.Start(context.Background()); err != nil {
		return err
	}
	r.begin(p)
	select {
	case <-signals:
	case err = <-p.Failed():
	}
	r.end()
	if !drain(p, signals) && err == nil {
		err = errors.New("a second signal came before all connections were finished")
	}
	r.close()
	return err
}

// drain shuts the cluster down, at once if a signal comes meanwhile, and reports
// whether none did.
func drain(p *cluster.Primary, signals <-chan os.Signal) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		p.Shutdown(ctx)
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-second(signals):
		cancel()
		<-done
		return false
	}
}

// second yields the first signal that is not part of the one before: timeout(1)
// and some supervisors signal the process and then its group.
func second(signals <-chan os.Signal) <-chan os.Signal {
	began := time.Now()
	again := make(chan os.Signal, 1)
	go func() {
		for sig := range signals {
			if time.Since(began) > sameSignal {
				again <- sig
				return
			}
		}
	}()
	return again
}

const sameSignal = 200 * time.Millisecond

// version is what the build knows of it.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "unknown"
}
