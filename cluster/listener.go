package cluster

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"onconn/fdpass"
	"onconn/listen"
	"onconn/sock"
)

// A listener is a worker's, whose connections come from the primary or from
// sockets that the primary made. It has what a *net.TCPListener has.
type listener struct {
	inner    *listen.Listener
	line     *line
	self     *self
	limited  bool          // by MaxConns
	finished chan struct{} // closed: it takes nothing more
	closed   chan struct{} // closed: by the program
	finish   func()        // closes finished
	leave    func()        // closes closed, and tells the primary
}

// listen asks the primary for the listener k.
func (s *self) listen(k key, cfg listen.Config, mode Mode) (net.Listener, error) {
	if err := s.beginAsking(k); err != nil {
		return nil, err
	}
	defer s.asking.Done()
	r, err := s.obtain(&k, cfg, mode)
	if err != nil {
		return nil, err
	}
	inner, err := s.adopt(r, cfg)
	if err != nil {
		s.giveBack(k)
		return nil, err
	}
	return s.enter(inner, k, r.Line, r.MaxConns > 0 || cfg.MaxConns > 0), nil
}

// obtain asks for what k names, and gives it its index.
func (s *self) obtain(k *key, cfg listen.Config, mode Mode) (reply, error) {
	k.Index = s.takeIndex(*k)
	r, err := s.ask(message{Op: opListen, Key: k, Config: &cfg, Mode: mode})
	if err == nil && r.Error != nil {
		err = r.Error.opError(*k)
	}
	if err != nil {
		s.freeIndex(*k)
		closeAll(r.fds)
	}
	return r, err
}

// giveBack tells the primary that this worker has k no more.
func (s *self) giveBack(k key) {
	s.channel.send(message{Op: opClose, Key: &k})
	s.freeIndex(k)
}

// enter makes the listener one of this worker's.
func (s *self) enter(inner *listen.Listener, k key, n int, limited bool) *listener {
	l := &listener{inner: inner, line: s.board.line(n), self: s, limited: limited, finished: make(chan struct{}), closed: make(chan struct{})}
	l.finish = sync.OnceFunc(func() { close(l.finished) })
	l.leave = sync.OnceFunc(func() {
		close(l.closed)
		l.finish()
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		s.giveBack(k)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[l] = true
	return l
}

// beginAsking holds the end of this worker up until the listener is one of its
// own, so that it is finished as the others are.
func (s *self) beginAsking(k key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken != nil:
		return s.broken
	case s.isEnding():
		return remoteErrorOf(errGoing).opError(k)
	}
	s.asking.Add(1)
	return nil
}

// adopt makes a listener of the descriptors in r, which it takes ownership of.
func (s *self) adopt(r reply, cfg listen.Config) (ln *listen.Listener, err error) {
	cfg.Counters = &s.board.line(r.Line).Counters
	if cfg.MaxConns == 0 || r.MaxConns > 0 && r.MaxConns < cfg.MaxConns {
		cfg.MaxConns = r.MaxConns
	}
	cfg.Backlog = 0 // the primary has called listen
	cfg.OnConnClose = s.ringAfter(cfg.OnConnClose)
	switch {
	case r.source != nil && len(r.fds) == 0:
		ln, err = cfg.FromSources(r.Addr.netAddr(), r.source)
	case r.Mode == RoundRobin && len(r.fds) == 1:
		ln, err = cfg.FromSources(r.Addr.netAddr(), fdpass.NewReceiver(r.fds[0]))
	case r.Mode == Shared && len(r.fds) == 1:
		cfg.Shared = true
		ln, err = cfg.Own(r.fds[0])
	case r.Mode == ReusePort && len(r.fds) == 2:
		ln, err = cfg.FromSources(r.Addr.netAddr(), r.fds[0], fdpass.NewReceiver(r.fds[1]))
	default:
		err = errReply
	}
	if err != nil {
		closeAll(r.fds)
		if r.source != nil {
			r.source.Descriptor().Close()
		}
	}
	return ln, err
}

// takeIndex tells apart listeners of this worker on one address, so that each
// listen on port 0 gets a port of its own, the same in all workers.
func (s *self) takeIndex(k key) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k.Index = 0; s.indexes[k]; k.Index++ {
	}
	s.indexes[k] = true
	return k.Index
}

func (s *self) freeIndex(k key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.indexes, k)
}

// ring tells the primary that this worker has room, if it wants to know. It
// costs a system call only then.
func (s *self) ring() {
	if w := &s.board.header().wanted; w.Load() && w.CompareAndSwap(true, false) {
		s.toll()
	}
}

// toll wakes the primary.
func (s *self) toll() {
	one := [8]byte{1}
	s.bell.Write(one[:])
}

// wait notes that the program waits for a connection, and tells the primary if
// that had missed it.
func (l *listener) wait() {
	l.line.waiting.Add(1)
	l.here()
}

// here tells the primary that the program is in Accept, if that has missed it.
func (l *listener) here() {
	if m := &l.line.missed; m.Load() && l.line.waiting.Load() > 0 && m.CompareAndSwap(true, false) {
		l.self.toll()
	}
}

// answer answers a ping. In this order: a primary that misses somebody and sees no
// answer yet need not ping again.
func (s *self) answer() {
	s.board.header().alive.Store(monotonic())
	for _, l := range s.open() {
		l.here()
	}
}

// ringAfter rings when the program has been told of a connection's end.
func (s *self) ringAfter(tell func()) func() {
	if tell == nil {
		return s.ring
	}
	return func() {
		tell()
		s.ring()
	}
}

// Accept waits for a connection. When the worker is asked to go, it first
// returns what still waits, then waits until all connections of the worker are
// over, and only then returns net.ErrClosed: a program that ends when its Accept
// fails loses none of them.
func (l *listener) Accept() (net.Conn, error) {
	l.wait()
	c, err := l.inner.Accept()
	l.line.waiting.Add(-1)
	if err != nil {
		return nil, l.ended(err)
	}
	l.self.ring()
	return c, nil
}

// AcceptFD is Accept for a bare descriptor, as [listen.Listener.AcceptFD].
func (l *listener) AcceptFD() (sock.FD, sock.Addr, error) {
	l.wait()
	fd, peer, err := l.inner.AcceptFD()
	l.line.waiting.Add(-1)
	if err != nil {
		return sock.None, sock.Addr{}, l.ended(err)
	}
	l.self.ring()
	return fd, peer, nil
}

// ended returns err, after the end of this worker if it is because of that.
func (l *listener) ended(err error) error {
	if !errors.Is(err, net.ErrClosed) {
		return err
	}
	// The program has closed it, or the primary has ended the queue and tells
	// why, or is dead.
	select {
	case <-l.closed:
		return err
	case <-l.self.ending:
	}
	l.inner.Close() // at once: what came now would wait for nobody
	l.finish()
	select {
	case <-l.self.done:
	case <-l.closed:
	}
	return err
}

func (l *listener) Addr() net.Addr { return l.inner.Addr() }

func (l *listener) SetDeadline(t time.Time) error { return l.inner.SetDeadline(t) }

func (l *listener) SyscallConn() (syscall.RawConn, error) { return l.inner.SyscallConn() }

// Close closes the listener in this worker. Connections that it has not taken
// go to other workers.
func (l *listener) Close() error {
	err := l.inner.Close()
	select {
	case <-l.finished: // then Accept has closed it, or a Close before
		if !l.isClosed() {
			err = nil
		}
	default:
	}
	l.leave()
	return err
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}
