package listen

import (
	"math"
	"net"
	"time"

	"onconn/backlog"
	"onconn/sock"
)

// Finish has Accept return what waits by now and then [net.ErrClosed], instead
// of waiting for more: call it before Close, and go on accepting until then. The
// socket listens until Close, and under load something always waits; so Accept
// stops anyhow after as many connections as the queue can hold.
func (l *Listener) Finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.opError("finish", net.ErrClosed)
	}
	l.rest.Store(math.MaxInt64)
	if fd, err := l.socketLocked(); err == nil {
		l.rest.Store(int64(capacity(fd)))
	}
	l.finishing.Store(true)
	if l.wait != nil {
		l.wait.setDeadline(time.Unix(1, 0)) // for the Accept that waits
	}
	return nil
}

// capacity is how many connections a listening socket's queue can hold.
func capacity(fd sock.FD) int {
	q, err := backlog.Of(fd)
	if err != nil {
		return DefaultBacklog + 1 // vsock doesn't tell
	}
	return max(q.Capacity(), q.Depth)
}

// takeRest is take for a listener that finishes.
func (l *Listener) takeRest() (sock.FD, sock.Addr, error) {
	if l.rest.Add(-1) < 0 {
		return sock.None, sock.Addr{}, net.ErrClosed
	}
	fd, peer, err := l.take(sock.Source.Accept)
	if isAgain(err) {
		err = net.ErrClosed
	}
	return fd, peer, err
}
