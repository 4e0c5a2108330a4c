package accept

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// Options of a [Loop]. The zero value is ready to use.
type Options struct {
	// Burst is how many connections are accepted from one source before the
	// others have their turn. 0 means 64.
	Burst int

	// ShedAfter is how long no accept may have succeeded, for want of
	// descriptors, before the loop closes connections that wait. 0 means one
	// second; negative means never.
	ShedAfter time.Duration

	// OnShed is told how many connections were closed unserved just now. They
	// are logged as well.
	OnShed func(n int)

	// OnError is told that a source failed for good; it is out of the loop
	// already. Without it the error is logged.
	OnError func(*Listener, error)

	// Logger takes what an operator should know. Nil means [slog.Default].
	Logger *slog.Logger
}

// A Loop is one epoll instance and the sources it accepts from. See epoll(7).
type Loop struct {
	opts   Options
	poll   *epoll.Adaptive
	events [128]unix.EpollEvent
	runner atomic.Uint64 // the goroutine in Run, 0 if none

	accepted, exhausted, shed atomic.Int64
	shared                    atomic.Int32 // listeners that are
	havePosted                atomic.Bool

	// Of the goroutine in Run.
	slept    bool      // for the events at hand
	last     *Listener // that had an event
	watches  watches
	lastTag  int32 // of a watch
	shortage shortage
	spare    []func() // memory for posted

	mu        sync.Mutex // never held while anything foreign is called
	closed    bool
	listeners map[int32]*Listener // by tag
	nextTag   int32               // of a listener
	posted    []func()
}

// New makes a loop. Its owner calls Close. It takes three descriptors: of
// epoll, of an eventfd that wakes it, and of an eventfd in reserve. EMFILE,
// ENFILE: there are not as many.
func New(opts Options) (*Loop, error) {
	if opts.Burst < 0 {
		return nil, errors.New("accept: Burst is negative; 0 means 64")
	}
	if opts.Burst == 0 {
		opts.Burst = 64
	}
	if opts.ShedAfter == 0 {
		opts.ShedAfter = time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	poll, err := epoll.NewAdaptive()
	if err != nil {
		return nil, err
	}
	reserve, err := openReserve()
	if err != nil {
		poll.Close()
		return nil, err
	}
	return &Loop{
		opts:      opts,
		poll:      poll,
		shortage:  shortage{reserve: reserve},
		listeners: map[int32]*Listener{},
	}, nil
}

// Run accepts connections and calls callbacks until ctx is done, and then
// returns nil. Any error is one of epoll_wait itself. A callback that runs when
// ctx is done is waited for; connections that wait stay queued. A panic of a
// callback goes through Run to its caller.
//
// Run may be called again when it has returned, but not twice at a time.
func (l *Loop) Run(ctx context.Context) error {
	if !l.runner.CompareAndSwap(0, goid()) {
		return errors.New("accept: the loop runs already")
	}
	defer l.runner.Store(0)
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return errors.New("accept: Run of a closed loop")
	}

	var done atomic.Bool // ctx.Err takes a lock
	done.Store(ctx.Err() != nil)
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		done.Store(true)
		l.poll.Wake()
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken // or it might write to what Close has closed
		}
	}()

	for !done.Load() {
		n, err := l.wait()
		if err != nil {
			return err
		}
		l.runPosted()
		for i := range n {
			l.dispatch(&l.events[i])
		}
		if l.shortage.due() {
			l.retry()
		}
	}
	return nil
}

// wait waits for events. With a timeout, and for sources that the kernel shall wake
// one process for, it does so in epoll_wait.
func (l *Loop) wait() (n int, err error) {
	timeout := l.shortage.timeout()
	if timeout >= 0 || l.shared.Load() > 0 {
		l.slept = true
		return l.poll.Poll.Wait(l.events[:], timeout)
	}
	n, l.slept, err = l.poll.Wait(l.events[:])
	return n, err
}

// dispatch gives an event to the listener or the watch that its tag names. Both
// may be gone since epoll_wait returned, and their descriptor be another's.
func (l *Loop) dispatch(e *unix.EpollEvent) {
	if e.Pad > 0 {
		l.ready(sock.FD(e.Fd), e.Pad, e.Events)
		return
	}
	if l.last == nil || l.last.tag != e.Pad {
		l.mu.Lock()
		l.last = l.listeners[e.Pad]
		l.mu.Unlock()
	}
	if l.last != nil {
		l.serve(l.last)
	}
}

// Post has f called on the loop's goroutine soon, from any goroutine, callbacks
// included. What is posted while the loop doesn't run waits until it does; Close
// drops it.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.postLocked(f)
}

func (l *Loop) postLocked(f func()) {
	if l.closed {
		return
	}
	l.posted = append(l.posted, f)
	l.havePosted.Store(true)
	if len(l.posted) == 1 {
		l.poll.Wake()
	}
}

func (l *Loop) runPosted() {
	if !l.havePosted.Load() {
		return
	}
	l.mu.Lock()
	l.havePosted.Store(false)
	fs := l.posted
	l.posted = l.spare[:0]
	l.mu.Unlock()
	for i, f := range fs {
		fs[i] = nil
		f()
	}
	l.spare = fs
}

// Stats counts what a loop has done.
type Stats struct {
	Accepted  int64 // connections that a callback was given
	Exhausted int64 // accepts that failed for want of descriptors or memory
	Shed      int64 // connections closed unserved
}

// Stats may be called from any goroutine.
func (l *Loop) Stats() Stats {
	return Stats{l.accepted.Load(), l.exhausted.Load(), l.shed.Load()}
}

// Close frees the loop's own descriptors; those of sources and watched ones stay
// open. Run must have returned.
func (l *Loop) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runner.Load() != 0 {
		return errors.New("accept: Close of a loop that runs; end Run first")
	}
	if l.closed {
		return nil
	}
	l.closed = true
	l.posted = nil
	if l.shortage.reserve != sock.None {
		l.shortage.reserve.Close()
	}
	return l.poll.Close()
}
