package cluster

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"onconn/listen"
	"onconn/reuseport"
	"onconn/sock"
)

// Config is what a primary does. Its zero value runs this program again, with
// the same arguments, once for each CPU.
type Config struct {
	// Workers is how many to start. 0: one for each CPU this process may use.
	// Negative: none; see [Primary.Fork].
	Workers int

	// Exec is the program, found as by exec.LookPath; empty: this one. Args
	// are its arguments; nil with an empty Exec: this process's own. Env is
	// added to this process's environment. Dir is where it runs.
	Exec string
	Args []string
	Env  []string
	Dir  string

	// Stdout and Stderr are the workers'; nil: this process's own. Their
	// standard input is empty.
	Stdout, Stderr *os.File

	// Node says that the workers speak as workers of Node's cluster module do: they
	// are scripts for Node, which need no change, or programs of this package. Such
	// workers can't be kept in an Upgrade, don't tell how many connections they
	// hold (so MaxConns doesn't bind them), and are served in RoundRobin and Shared
	// mode. Where Env, or this process's environment, has
	// NODE_CHANNEL_SERIALIZATION_MODE=advanced, messages are what Node calls that: a
	// script may send a Map or a Buffer too, which come as the JSON for it.
	Node bool

	// Mode is how connections reach the workers, where a worker doesn't say
	// so itself; 0: RoundRobin. Policy makes the policy of each listener; nil:
	// [NewRoundRobin]. It matters where the primary hands over: in RoundRobin,
	// and in ReusePort for sockets whose worker is away.
	Mode   Mode
	Policy func() Policy

	// Steering makes how the kernel chooses among the sockets of each listener in
	// ReusePort mode; nil: by a hash. It is told to pass over the sockets of workers
	// that hang, crashed or were disconnected. One that counts hears of the workers'
	// connections up to a hundred times a second. It is closed if it has a Close.
	Steering func() reuseport.Steering

	// Weights are those of the slots, 1 to [reuseport.MaxWeight], for a Steering that
	// weighs. Slots beyond the list have 1.
	Weights []int

	// Listen are listeners that are opened before any worker is started and
	// stay open whatever the workers do. A worker has one of them by listening
	// on the same network and address, written the same way. In Shared and ReusePort mode they are
	// also passed as sd_listen_fds(3) describes, so that a program which knows
	// nothing of this package can be the worker. They are opened as
	// ListenConfig says.
	Listen       []Address
	ListenConfig listen.Config

	// MaxConns is how many connections a worker holds at a time for each
	// listener; 0: any number. The rest waits in the kernel's accept queue.
	MaxConns int
	// MaxQueued is how many connections may wait in a worker's handoff queue;
	// 0: 64.
	MaxQueued int

	// DrainTimeout is how long workers that go may take to finish what they
	// have; 0: 10 s. Then they get SIGTERM, and 2 s later SIGKILL. One that
	// has nothing left and doesn't end gets SIGTERM after 2 s; connections that
	// were detached, or taken with AcceptFD, don't hold it.
	DrainTimeout time.Duration

	// ReadyTimeout is how long a new worker may take until it is [Ready], in
	// Reload and Scale; 0: 30 s.
	ReadyTimeout time.Duration
	// Notify says that programs which know only LISTEN_FDS tell when they are
	// ready, by READY=1 of sd_notify(3). Else they are after a second.
	Notify bool

	// HangAfter is how long a worker may take nothing of what waits for it, or
	// not answer, before that is reported as [Hung]; 0: 1 s. Others get what
	// waits for it much sooner.
	HangAfter time.Duration
	// KillHung is after how long such a worker is killed and replaced; 0: never.
	KillHung time.Duration

	// StableAfter is how old a worker is that ended by itself for its end not to
	// count as one of a crash loop: it is replaced at once, younger ones ever
	// more slowly; 0: 10 s.
	StableAfter time.Duration

	// Inherited are listening sockets by name, as [Primary.Sockets] of a primary
	// before this one gave them. They are used instead of new ones. Start owns
	// them, and closes those that it has no use for.
	Inherited map[string]sock.FD

	// OnEvent, if not nil, is called for each event, one at a time. Messages
	// from workers wait while it runs.
	OnEvent func(Event)

	// OnMessageFD, if not nil, is called in place of OnEvent for a message that came
	// with a descriptor, by [SendFD] or a Node worker's process.send(message, handle).
	// The function owns it. If it is nil OnEvent gets the message, and the descriptor is
	// closed.
	OnMessageFD func(w *Worker, data json.RawMessage, fd sock.FD)

	// Logger is told what goes wrong; nil: slog.Default().
	Logger *slog.Logger
}

// An Address is a network and an address as [listen.Config.Listen] takes them.
type Address struct{ Network, Address string }

// DefaultDrainTimeout is how long draining workers may take if the
// configuration doesn't say.
const DefaultDrainTimeout = 10 * time.Second

const (
	defaultReadyTimeout = 30 * time.Second
	defaultHangAfter    = time.Second
	defaultStableAfter  = 10 * time.Second
	defaultMaxQueued    = 64
	killAfter           = 2 * time.Second // from SIGTERM to SIGKILL
)

// complete fills in what was left to its default, and finds what can't be.
func (cfg *Config) complete() error {
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0) // knows a container's share
	}
	cfg.Mode = cmp.Or(cfg.Mode, RoundRobin)
	if _, ok := modeNames[cfg.Mode]; !ok {
		return fmt.Errorf("cluster: unknown %v", cfg.Mode)
	}
	if cfg.Node && cfg.Mode == ReusePort {
		return errors.New("cluster: Node workers are served in RoundRobin and Shared mode")
	}
	if _, err := cfg.nodeWriting(); cfg.Node && err != nil {
		return err
	}
	if cfg.Policy == nil {
		cfg.Policy = NewRoundRobin
	}
	cfg.MaxQueued = cmp.Or(cfg.MaxQueued, defaultMaxQueued)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, DefaultDrainTimeout)
	cfg.ReadyTimeout = cmp.Or(cfg.ReadyTimeout, defaultReadyTimeout)
	cfg.StableAfter = cmp.Or(cfg.StableAfter, defaultStableAfter)
	cfg.HangAfter = cmp.Or(cfg.HangAfter, defaultHangAfter)
	if cfg.MaxConns < 0 || cfg.MaxQueued < 0 || cfg.DrainTimeout < 0 || cfg.ReadyTimeout < 0 || cfg.HangAfter < 0 || cfg.KillHung < 0 || cfg.StableAfter < 0 {
		return errors.New("cluster: limits and times can't be negative")
	}
	if cfg.HangAfter < lookEvery {
		return fmt.Errorf("cluster: HangAfter, %v, is less than %v", cfg.HangAfter, lookEvery)
	}
	if cfg.KillHung > 0 && cfg.KillHung < cfg.HangAfter {
		return fmt.Errorf("cluster: KillHung, %v, is before HangAfter, %v, when a hang is noticed", cfg.KillHung, cfg.HangAfter)
	}
	for _, w := range cfg.Weights {
		if w < 1 || w > reuseport.MaxWeight {
			return fmt.Errorf("cluster: weight %d is not in 1 to %d", w, reuseport.MaxWeight)
		}
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(Event) {}
	}
	cfg.Stdout = cmp.Or(cfg.Stdout, os.Stdout)
	cfg.Stderr = cmp.Or(cfg.Stderr, os.Stderr)
	return nil
}

func (cfg *Config) findProgram(own string) (err error) {
	if cfg.Exec == "" {
		if cfg.Args == nil {
			cfg.Args = os.Args[1:]
		}
		cfg.Exec = own
		return nil
	}
	path, err := exec.LookPath(cfg.Exec)
	if err == nil {
		path, err = filepath.Abs(path) // Dir is not for finding it
	}
	if wrong, ok := errors.AsType[*exec.Error](err); ok {
		return fmt.Errorf("cluster: the worker's program %q: %w", wrong.Name, wrong.Err)
	}
	if err != nil {
		return fmt.Errorf("cluster: the worker's program: %w", err)
	}
	cfg.Exec = path
	return nil
}

// steering is for the sockets of one more listener; nil: by a hash.
func (p *Primary) steering() reuseport.Steering {
	if p.cfg.Steering == nil {
		return nil
	}
	return p.cfg.Steering()
}

// weight is that of a slot in such a steering.
func (p *Primary) weight(slot int) int {
	if slot < len(p.cfg.Weights) {
		return p.cfg.Weights[slot]
	}
	return 1
}
