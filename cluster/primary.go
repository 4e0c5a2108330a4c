package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/internal/sdnotify"
	"onconn/sock"
)

var (
	// ErrBusy: another Reload, Scale or Upgrade runs.
	ErrBusy = errors.New("cluster: busy with another operation: try again when it is over")

	errNotStarted = errors.New("cluster: the primary has not been started")
	errStarted    = errors.New("cluster: a primary starts only once")
	errEnding     = errors.New("the cluster is being shut down")
	errGoing      = errors.New("the worker was asked to go")
	errShut       = errors.New("the listener is closed")
	errTaken      = errors.New("the slot has a worker")
	errTwice      = errors.New("the worker has that listener already")
	errInherited  = errors.New("descriptors are the primary's: name it in its Config.Listen")
)

// A Primary is the process that owns the sockets and runs the workers.
type Primary struct {
	cfg      Config
	program  string // this process's own
	log      *slog.Logger
	loop     *accept.Loop
	bell     sock.FD // an eventfd that workers write to when they have room
	stopLoop func()
	starter  *starter
	lookout  *lookout
	heritage map[key]serverImage // while this primary takes over from one before
	nodes    nodes               // what its Node workers have in common
	life     context.Context     // ended when the drain begins
	endLife  context.CancelFunc
	notify   *sdnotify.Receiver // nil without Config.Notify
	stopBeat chan struct{}
	events   *eventQueue
	null     *os.File       // the workers' standard input
	kept     []*server      // of Config.Listen, in its order
	attended sync.WaitGroup // one for each worker
	running  sync.WaitGroup // the other goroutines
	shutdown sync.Once

	// gate is held for reading while something is done that an upgrade must not
	// find half done; before all other locks. What holds it waits for no gate.
	gate sync.RWMutex

	opening sync.Mutex // one listener is opened or closed at a time; before mu

	mu       sync.Mutex
	servers  map[key]*server
	slots    map[int]*slot
	living   map[*Worker]bool
	lastID   int
	doing    string // what operation runs: one at a time
	upgrades int
	began    time.Time
	ready    bool // some worker was of use once
	failed   int  // workers that ended before any was
	failure  chan error
	relays   map[*relay]bool
	started  bool
	ending   bool
	deadline time.Time // of the end
}

// New checks the configuration. Nothing is opened or started yet.
func New(cfg Config) (*Primary, error) {
	if born.worker {
		return nil, errors.New("cluster: a worker can't be a primary: check IsPrimary first")
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cluster: this program's own file: %w", err)
	}
	if err := cfg.findProgram(program); err != nil {
		return nil, err
	}
	life, endLife := context.WithCancel(context.Background())
	return &Primary{
		life: life, endLife: endLife, cfg: cfg, log: cfg.Logger, program: program,
		servers: map[key]*server{}, slots: map[int]*slot{}, living: map[*Worker]bool{},
		bell: sock.None, events: newEventQueue(), failure: make(chan error, 1), relays: map[*relay]bool{},
	}, nil
}

// Run starts the cluster and serves until ctx is done, then drains it and
// returns nil. It returns an error if it can't start, or if workers end again
// and again before any of them was of use.
func (p *Primary) Run(ctx context.Context) error {
	if err := p.Start(ctx); err != nil {
		return err
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-p.failure:
	}
	p.Shutdown(context.WithoutCancel(ctx))
	return err
}

// Start opens the listeners, starts the workers and returns. A Primary starts
// once. ctx bounds the resolving of names. After an upgrade it takes over the
// workers and listeners that there are, and starts the workers that Config has
// more than before.
func (p *Primary) Start(ctx context.Context) error {
	p.mu.Lock()
	once := !p.started && !p.ending
	p.mu.Unlock()
	if !once {
		return errStarted
	}
	before, err := p.succeed(ctx)
	if err != nil {
		return fmt.Errorf("cluster: taking over: %w", err)
	}
	if before != nil {
		p.bell = before.Bell
		if !born.noHangup {
			heedHangup()
		}
	}
	if err := p.begin(before != nil); err != nil {
		return err
	}
	p.mu.Lock()
	p.started, p.began = true, time.Now()
	p.mu.Unlock()
	err = p.populate(ctx, before)
	if err != nil {
		p.Shutdown(context.WithoutCancel(ctx))
	}
	return err
}

// populate opens the listeners and starts the workers, or takes both over.
func (p *Primary) populate(ctx context.Context, before *image) (err error) {
	if before != nil {
		return p.goOn(ctx, before)
	}
	err = p.openAll(ctx)
	p.closeInherited()
	for i := 0; err == nil && i < p.cfg.Workers; i++ {
		_, err = p.fork(anySlot)
	}
	return err
}

// goOn takes over. There is no way back: what can't be had besides is logged.
func (p *Primary) goOn(ctx context.Context, before *image) error {
	p.gate.Lock()
	err := p.takeOver(ctx, before)
	if err == nil {
		if err := p.openAll(ctx); err != nil {
			p.log.Error("cannot listen after the upgrade", "err", err)
		}
	}
	p.closeInherited()
	p.gate.Unlock()
	for range p.cfg.Workers - before.Configured { // else as many as there are
		if _, err := p.fork(anySlot); err != nil {
			p.log.Error("cannot start another worker after the upgrade", "err", err)
		}
	}
	return err
}

// Failed yields the error of a cluster that can never work: workers end again
// and again before any of them was of use. Shutdown is still to be called.
func (p *Primary) Failed() <-chan error { return p.failure }

// begin makes what a primary needs before it opens a listener.
func (p *Primary) begin(upgraded bool) (err error) {
	defer func() {
		if err != nil {
			p.giveUp()
		}
	}()
	if p.null, err = os.Open(os.DevNull); err != nil {
		return err
	}
	if p.bell == sock.None {
		if p.bell, err = newBell(); err != nil {
			return err
		}
	}
	if p.cfg.Notify {
		if p.notify, err = sdnotify.New(); err != nil {
			return err
		}
	}
	if p.lookout, err = newLookout(); err != nil {
		return err
	}
	if err = p.beginLoop(); err != nil {
		return err
	}
	p.starter = newStarter(upgraded)
	p.stopBeat = make(chan struct{})
	p.running.Go(func() { p.beat(p.stopBeat) })
	p.running.Go(func() { p.events.run(p.tell) })
	if p.notify != nil {
		p.running.Go(p.heed)
	}
	return nil
}

// giveUp closes what begin has made.
func (p *Primary) giveUp() {
	if p.loop != nil {
		p.loop.Close()
	}
	if p.lookout != nil {
		p.lookout.close()
	}
	if p.notify != nil {
		p.notify.Close()
	}
	if p.bell != sock.None {
		p.bell.Close()
	}
	p.null.Close() // does nothing if it is nil
}

func newBell() (sock.FD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return sock.FD(fd), os.NewSyscallError("eventfd", err)
}

func (p *Primary) beginLoop() (err error) {
	if p.loop, err = accept.New(accept.Options{Logger: p.log}); err != nil {
		return err
	}
	err = p.loop.Watch(p.bell, unix.EPOLLIN, func(bell sock.FD, _ uint32) {
		var count [8]byte
		bell.Read(count[:])
		p.room()
	})
	if err != nil {
		return err
	}
	p.runLoop()
	return nil
}

// runLoop runs the accept loop until stopLoop, which waits for its end.
func (p *Primary) runLoop() {
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := p.loop.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("the accept loop has ended", "err", err)
		}
	}()
	p.stopLoop = func() {
		stop()
		<-over
	}
}

func (p *Primary) openAll(ctx context.Context) error {
	before := p.all() // of the primary before
	for _, s := range before {
		s.keep = false
	}
	for _, k := range p.keys() {
		if isPacket(k.Network) { // programs that know only LISTEN_FDS couldn't use it
			return &net.OpError{Op: "listen", Net: k.Network, Err: net.UnknownNetworkError(k.Network)}
		}
		p.mu.Lock()
		s := p.servers[k]
		p.mu.Unlock()
		if s == nil {
			var err error
			if s, err = p.open(ctx, k, p.cfg.ListenConfig, p.cfg.Mode); err != nil {
				return err
			}
		}
		s.keep = true
		p.kept = append(p.kept, s)
		p.mu.Lock()
		p.servers[k] = s
		p.mu.Unlock()
	}
	for _, s := range before {
		p.tidy(s) // if nobody has use for it
	}
	return nil
}

// keys are those of Config.Listen.
func (p *Primary) keys() (keys []key) {
	seen := map[Address]int{}
	for _, a := range p.cfg.Listen {
		keys = append(keys, key{Network: a.Network, Address: a.Address, Index: seen[a]})
		seen[a]++
	}
	return keys
}

// Fork starts one more worker, with env added to its environment.
func (p *Primary) Fork(env ...string) (*Worker, error) {
	return p.fork(anySlot, env...)
}

// Addrs are where the listeners of Config.Listen listen, in that order. It may
// be called after Start and before Shutdown.
func (p *Primary) Addrs() (addrs []net.Addr) {
	for _, s := range p.kept {
		addrs = append(addrs, s.sharing.address())
	}
	return addrs
}
