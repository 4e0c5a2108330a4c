package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/sock"
)

// Accept waits for a connection, a [*connwrap.Conn]. While [Config.MaxConns] are
// open it leaves the next ones in the queue. EMFILE, ENFILE: no descriptor is
// left, and the connection stays queued.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.acceptConn()
	if err != nil {
		return nil, l.opError("accept", err)
	}
	return conn, nil
}

// AcceptFD waits for a connection as Accept does, but hands over the bare
// descriptor, which the caller owns, and the peer's address. It is counted as
// accepted, not as active, and knows no MaxConns.
func (l *Listener) AcceptFD() (sock.FD, sock.Addr, error) {
	l.accepting.Lock()
	fd, peer, err := l.next()
	l.accepting.Unlock()
	if err != nil {
		return sock.None, sock.Addr{}, l.opError("accept", err)
	}
	l.counters.Accepted.Add(1)
	return fd, peer, nil
}

func (l *Listener) acceptConn() (*connwrap.Conn, error) {
	fd, peer, err := l.acceptSlot()
	if err != nil {
		return nil, err
	}
	// In this order: who watches may see a connection twice, but never miss it.
	l.counters.Active.Add(1)
	l.counters.Accepted.Add(1)
	cfg := l.conn
	cfg.Remote = peer
	conn, err := connwrap.New(fd, cfg)
	if err != nil {
		l.connClosed()
	}
	return conn, err
}

// acceptSlot takes a connection when there is a place for it among MaxConns.
func (l *Listener) acceptSlot() (sock.FD, sock.Addr, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	if err := l.takeSlot(); err != nil {
		return sock.None, sock.Addr{}, err
	}
	fd, peer, err := l.next()
	if err != nil {
		l.freeSlot()
	}
	return fd, peer, err
}

func (l *Listener) takeSlot() error {
	if l.slots == nil {
		return nil
	}
	for {
		at, changed := l.deadline.get()
		var passed <-chan time.Time
		if !at.IsZero() {
			passed = time.After(time.Until(at))
		}
		select {
		case l.slots <- struct{}{}:
			return nil
		case <-l.done:
			return net.ErrClosed
		case <-passed:
			return os.ErrDeadlineExceeded
		case <-changed:
		}
	}
}

func (l *Listener) freeSlot() {
	if l.slots != nil {
		<-l.slots
	}
}

// connClosed is called by each connection when it has given up its descriptor.
func (l *Listener) connClosed() {
	l.counters.Active.Add(-1)
	l.freeSlot()
	if l.cfg.OnConnClose != nil {
		l.cfg.OnConnClose()
	}
}

// next waits for a connection and takes it; accepting is held.
func (l *Listener) next() (sock.FD, sock.Addr, error) {
	l.mu.Lock()
	w, err := l.waiterLocked()
	l.mu.Unlock()
	if err != nil {
		return sock.None, sock.Addr{}, err
	}
	for {
		var fd sock.FD
		var peer sock.Addr
		if l.finishing.Load() {
			fd, peer, err = l.takeRest()
		} else {
			fd, peer, err = w.next()
		}
		if err == nil {
			return fd, peer, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && l.finishing.Load() {
			continue // Finish has interrupted it
		}
		// A connection that was undone before it was taken is no failure of
		// the listener.
		if !errors.Is(err, unix.ECONNABORTED) {
			return sock.None, sock.Addr{}, err
		}
	}
}

// take takes a connection from one of the sources, each in its turn. EAGAIN: none
// has any. A source at its end is dropped; without any it is [net.ErrClosed].
func (l *Listener) take(accept func(sock.Source) (sock.FD, sock.Addr, error)) (sock.FD, sock.Addr, error) {
	for tries := len(l.sources); tries > 0; tries-- {
		l.turn %= len(l.sources)
		s := l.sources[l.turn]
		fd, peer, err := accept(s)
		switch {
		case errors.Is(err, io.EOF):
			l.drop(l.turn)
			continue
		case err == nil || !isAgain(err):
			l.turn++
			return checked(s, fd, peer, err)
		}
		l.turn++
	}
	if len(l.sources) == 0 {
		return sock.None, sock.Addr{}, net.ErrClosed
	}
	return sock.None, sock.Addr{}, unix.EAGAIN
}

// checked refuses what came out of a queue and is no socket: anything can be put into
// one.
func checked(from sock.Source, fd sock.FD, peer sock.Addr, err error) (sock.FD, sock.Addr, error) {
	if _, accepted := from.(sock.FD); accepted || err != nil {
		return fd, peer, err
	}
	if err := fd.CheckSocket(); err != nil {
		fd.Close()
		return sock.None, sock.Addr{}, err
	}
	return fd, peer, nil
}

func (l *Listener) drop(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sources[i]
	l.wait.forget(s)
	s.Descriptor().Close()
	l.sources = slices.Delete(l.sources, i, i+1)
}

// A deadline is a time that can be watched for changes.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

func (d *deadline) get() (time.Time, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.at, d.changed
}
