package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onconn/cluster"
	"onconn/cluster/control"
	"onconn/internal/cli"
	"onconn/listen"
	"onconn/reuseport"
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
	ready     time.Duration
	hang      time.Duration
	killHung  time.Duration
	notify    bool
	node      bool
	control   string
	metrics   string
	quiet     bool
	json      bool
	addresses []cluster.Address // of listen, by check
	steering  *steering         // of policy, by run; nil: there is none to be said
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

While it runs, onconn status shows what the workers do, and onconn reload,
scale and upgrade change them without losing a connection. So do signals:
SIGHUP reloads, SIGUSR2 upgrades, SIGTTIN and SIGTTOU mean one worker more and
one less.

A command is a Go program that calls cluster.Listen, in any mode. In shared
and reuseport mode it may be any server that takes its listening sockets from
systemd (LISTEN_FDS, sd_listen_fds(3)): onconn passes those of --listen.

Or it is a script for Node, in rr and shared mode, which needs no change: onconn
takes the part of the primary of Node's cluster module. It does so if the
command is node, or a script whose first line names it, or with --node: then
programs may also be mixed, as by a shell script that executes one or the other.
npm and npx are no such commands, since they start node themselves.

Modes:
  rr         the primary accepts and gives each connection to a worker
  shared     the workers accept from one listening socket
  reuseport  each worker accepts from its own socket, the kernel chooses

In reuseport mode a --policy is an eBPF program, which takes CAP_BPF and 256
workers at most. Where it can't be made the kernel chooses by a hash of
addresses and ports: by weights for weighted, evenly for the others. A line
at the start says which it is, and why.`,
		Example: `  onconn                                  the demo, a worker per CPU, port 8000
  onconn -n 4 -l 127.0.0.1:8080 -l /tmp/hello.sock
  onconn --policy least-loaded --max-conns 100
  onconn -m reuseport --policy least-loaded
  onconn -n 2 -m shared -l :8080 -- python3 server.py
  onconn -- ./my-go-server --its-own flags
  onconn -n 4 -- node server.js
  onconn --metrics :9112 --kill-hung 10s -- ./my-go-server`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("node") {
				f.node = isNode(args)
			}
			if err := f.check(cmd, args); err != nil {
				return cli.Usage(err)
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
	flags.StringVar(&f.policy, "policy", "", "which worker is next: round-robin, least-loaded, source-hash,\nweighted=3,1,... (default round-robin; in reuseport mode a hash)")
	flags.IntVar(&f.backlog, "backlog", listen.DefaultBacklog, "limit of the accept queue; -1: as much as the kernel allows")
	flags.IntVar(&f.maxConns, "max-conns", 0, "connections that a worker holds at a time, for each address; 0: any number")
	flags.DurationVar(&f.drain, "drain-timeout", cluster.DefaultDrainTimeout, "how long workers may take to finish when they are to go")
	flags.DurationVar(&f.ready, "ready-timeout", 30*time.Second, "how long a new worker may take to be ready, when reloading and scaling")
	flags.BoolVar(&f.notify, "notify", false, "the command says READY=1, as sd_notify(3) has it; else it is ready after a second")
	flags.BoolVar(&f.node, "node", false, "the command is a worker of Node's cluster, or --node=false: it is not\n(default: told by its name or its first line)")
	flags.DurationVar(&f.hang, "hang-after", time.Second, "a worker that takes nothing for so long is reported; others get its\nconnections much sooner")
	flags.DurationVar(&f.killHung, "kill-hung", 0, "kill and replace a worker that takes nothing for so long; 0: never")
	flags.StringVar(&f.control, "control", "", "path of the socket for onconn status, reload, scale and upgrade, or off\n(default PID.sock in "+control.Directories()+")")
	flags.StringVar(&f.metrics, "metrics", "", "host:port to serve metrics to Prometheus on")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print only what goes wrong")
	flags.BoolVar(&f.json, "json", false, "print events and counts as JSON, one object a line")
	complete := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	cmd.RegisterFlagCompletionFunc("control", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return []cobra.Completion{"off"}, cobra.ShellCompDirectiveDefault
	})
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
	case f.ready <= 0:
		return fmt.Errorf("--ready-timeout is %v: it is longer than 0", f.ready)
	case f.hang <= 0:
		return fmt.Errorf("--hang-after is %v: it is longer than 0", f.hang)
	case f.killHung != 0 && f.killHung < f.hang:
		return fmt.Errorf("--kill-hung is %v: it is 0, or not less than --hang-after, %v", f.killHung, f.hang)
	case f.notify && len(args) == 0:
		return errors.New("--notify is for a command after --")
	case cmd.Flags().Changed("control") && f.control == "":
		return errors.New("--control is empty: it is a path, or off")
	case f.backlog == 0, f.backlog < -1, f.backlog > math.MaxInt32:
		return fmt.Errorf("--backlog is %d: it is 1 to %d, or -1 for as much as the kernel allows", f.backlog, math.MaxInt32)
	}
	if _, err := f.config(); err != nil {
		return err
	}
	return checkMetrics(f.metrics)
}

// config is the cluster's configuration, without what watches it.
func (f *runFlags) config() (cfg cluster.Config, err error) {
	cfg = cluster.Config{
		Workers: f.workers, Listen: f.addresses, MaxConns: f.maxConns, DrainTimeout: f.drain,
		ReadyTimeout: f.ready, HangAfter: f.hang, KillHung: f.killHung, Notify: f.notify, Node: f.node,
		ListenConfig: listen.Config{Backlog: f.backlog},
	}
	if cfg.Mode, err = cluster.ParseMode(f.mode); err != nil {
		return cfg, err
	}
	if f.policy != "" {
		if cfg.Mode == cluster.Shared {
			return cfg, fmt.Errorf("--policy %s needs --mode rr or reuseport: in shared mode the kernel wakes a worker that waits", f.policy)
		}
		if cfg.Policy, err = cluster.ParsePolicy(f.policy); err != nil {
			return cfg, err
		}
		if w := weightsOf(f.policy); cfg.Mode == cluster.ReusePort && len(w) > 0 && slices.Max(w) > reuseport.MaxWeight {
			return cfg, fmt.Errorf("--policy %s: in reuseport mode a weight is %d at most", f.policy, reuseport.MaxWeight)
		}
	}
	switch {
	case f.node && cfg.Mode == cluster.ReusePort:
		return cfg, errors.New("--mode reuseport is not for Node workers: they have no sockets of their own; it is rr or shared")
	case f.node && f.maxConns > 0:
		return cfg, errors.New("--max-conns is not for Node workers, which don't tell what they have: set maxConnections of their server")
	case f.node && f.notify:
		return cfg, errors.New("--notify is not for Node workers: they are ready when they listen")
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
