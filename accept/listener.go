package accept

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A Listener is a source in a [Loop]. Its methods may be called from any
// goroutine, callbacks included.
type Listener struct {
	loop         *Loop
	src          sock.Source
	fd           sock.FD
	tag          int32
	onconnection func(sock.FD, sock.Addr)
	afterBurst   func()
	shared       bool
	listens      bool // src is a listening socket

	calling         sync.Mutex // held while the source is used and its callback runs
	paused, removed atomic.Bool

	// Guarded by loop.mu.
	starved bool // waits for descriptors to come free
	armed   bool // is in the epoll set
}

// An Option of [Loop.Add].
type Option func(*Listener)

// Shared is for a listening socket that several processes, or loops, accept
// from. The kernel then wakes one of them for a connection instead of all
// (EPOLLEXCLUSIVE, Linux 4.5): always the one that was added first, so the loop
// adds it anew after each burst. That costs two system calls a burst and evens
// the shares out. A wake-up that this process has got and leaves unanswered,
// since it pauses or has no descriptor left, is handed on to the others.
func Shared() Option { return func(ls *Listener) { ls.shared = true } }

// Paused adds the source paused, as if [Listener.Pause] had been called: nothing is
// accepted until Resume.
func Paused() Option { return func(ls *Listener) { ls.paused.Store(true) } }

// AfterBurst has f called after each burst in which the source yielded
// connections, when their callbacks have returned.
func AfterBurst(f func()) Option { return func(ls *Listener) { ls.afterBurst = f } }

// Add makes the loop accept from src and call onconnection with each connection
// and its peer. The callback owns the descriptor. It mustn't block, since
// everything else waits for it. The loop never closes src. Add may be called at
// any time, from any goroutine.
//
// EEXIST: src is in the loop already. ENOSPC: fs.epoll.max_user_watches is
// reached.
func (l *Loop) Add(src sock.Source, onconnection func(conn sock.FD, peer sock.Addr), opts ...Option) (*Listener, error) {
	if src == nil || onconnection == nil {
		return nil, errors.New("accept: Add needs a source and a callback")
	}
	if fd, ok := src.(sock.FD); ok {
		if err := checkNonblock(fd); err != nil {
			return nil, err
		}
	}
	ls := &Listener{loop: l, src: src, fd: src.Descriptor(), onconnection: onconnection}
	_, ls.listens = src.(sock.FD)
	for _, o := range opts {
		o(ls)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("accept: Add to a closed loop")
	}
	l.nextTag--
	ls.tag = l.nextTag
	if err := ls.settle(); err != nil {
		return nil, fmt.Errorf("accept: adding descriptor %d: %w", ls.fd, err)
	}
	l.listeners[ls.tag] = ls
	if ls.shared {
		l.shared.Add(1)
		l.poll.Wake() // to wait in the other way
	}
	return ls, nil
}

// checkNonblock refuses a blocking socket, whose accept would stop the loop for
// good whenever another process was faster.
func checkNonblock(fd sock.FD) error {
	ok, err := fd.Nonblocking()
	if err != nil {
		return fmt.Errorf("accept: descriptor %d: %w", fd, err)
	}
	if !ok {
		return fmt.Errorf("accept: descriptor %d is blocking; set O_NONBLOCK first", fd)
	}
	return nil
}

// Source is what the listener accepts from.
func (ls *Listener) Source() sock.Source { return ls.src }

// Pause stops accepting until Resume; connections wait in the source. Called
// from a callback it is in force at once; from another goroutine, one connection
// that the loop is just taking may still come.
func (ls *Listener) Pause() {
	ls.paused.Store(true)
	ls.loop.settle(ls)
}

// Resume undoes Pause.
func (ls *Listener) Resume() {
	ls.paused.Store(false)
	ls.loop.settle(ls)
}

// Remove takes the source out of the loop for good. When it returns the loop
// doesn't touch the source any more, so its descriptor may be closed, and the
// callback doesn't run and won't again: Remove waits for one that runs, unless
// it is called on the loop's own goroutine, from a callback. So don't call it
// while holding what that callback waits for.
func (ls *Listener) Remove() {
	ls.removed.Store(true) // ends a burst
	if ls.loop.runner.Load() != goid() {
		ls.calling.Lock()
		defer ls.calling.Unlock()
	}
	ls.loop.mu.Lock()
	defer ls.loop.mu.Unlock()
	if ls.shared && ls.loop.listeners[ls.tag] == ls {
		ls.loop.shared.Add(-1)
	}
	delete(ls.loop.listeners, ls.tag)
	ls.settle()
}

// wanted reports whether connections are to be taken from the source at all.
func (ls *Listener) wanted() bool { return !ls.paused.Load() && !ls.removed.Load() }

// settle puts the source into the epoll set or takes it out, as its state
// demands. The caller holds loop.mu.
func (ls *Listener) settle() error {
	want := ls.wanted() && !ls.starved && !ls.loop.closed
	if want == ls.armed || ls.loop.closed {
		return nil
	}
	if want {
		events := uint32(unix.EPOLLIN)
		if ls.shared {
			events |= unix.EPOLLEXCLUSIVE
		}
		if err := ls.loop.poll.AddTag(ls.fd, events, ls.tag); err != nil {
			return err
		}
		ls.armed = true
		return nil
	}
	// It fails only if the descriptor has been closed, which did the same.
	ls.loop.poll.Del(ls.fd)
	ls.armed = false
	if ls.listens && ls.shared {
		// The one process that the kernel has woken for a connection may be
		// this one. On a listening socket SHUT_WR ends nothing but wakes all
		// who wait for it (inet_shutdown, unix_shutdown: sk_state_change).
		ls.fd.Shutdown(unix.SHUT_WR)
	}
	return nil
}

// settle is Listener.settle for callers that don't hold mu.
func (l *Loop) settle(ls *Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ls.settle(); err != nil {
		l.postLocked(func() { l.trouble(ls, err) })
	}
}

// requeue moves a shared source to the end of the line of those that the kernel
// wakes. Adding it reports what waits by then, so nothing is missed.
func (l *Loop) requeue(ls *Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ls.armed {
		l.poll.Del(ls.fd)
		ls.armed = false
		if err := ls.settle(); err != nil {
			l.postLocked(func() { l.trouble(ls, err) })
		}
	}
}
