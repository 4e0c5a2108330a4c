package listen

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"onconn/backlog"
	"onconn/sock"
)

var errNoSocket = fmt.Errorf("not a single listening socket: %w", errors.ErrUnsupported)

// socketLocked is the listening socket: of several sources the first that is one.
func (l *Listener) socketLocked() (sock.FD, error) {
	if l.closed {
		return sock.None, net.ErrClosed
	}
	for _, s := range l.sources {
		if fd, ok := s.(sock.FD); ok {
			return fd, nil
		}
	}
	return sock.None, errNoSocket
}

// Descriptor is the listening socket, which the Listener keeps owning, or
// [sock.None] once it is closed or if it has only other sources.
func (l *Listener) Descriptor() sock.FD {
	l.mu.RLock()
	defer l.mu.RUnlock()
	fd, _ := l.socketLocked()
	return fd
}

// Queue reads how many connections wait for Accept and how many may.
// errors.ErrUnsupported: vsock, or no source is a listening socket.
func (l *Listener) Queue() (backlog.Queue, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	fd, err := l.socketLocked()
	if err != nil {
		return backlog.Queue{}, l.opError("queue", err)
	}
	q, err := backlog.Of(fd)
	if err != nil {
		return q, l.opError("queue", err)
	}
	return q, nil
}

// Backlog is the backlog that was asked for, negative for as much as the kernel
// allows and zero if somebody else asked, before the socket was adopted; and the
// one that the kernel granted, zero if it cannot be known.
func (l *Listener) Backlog() (asked, granted int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.asked, l.granted
}

// SetBacklog changes the backlog of the live socket, for every process that
// shares it; n is as in [Config]. What is queued stays queued. Shrinking it
// below that only refuses new connections.
func (l *Listener) SetBacklog(n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd, err := l.socketLocked()
	if err == nil {
		err = l.listenLocked(fd, n)
	}
	if err != nil {
		return l.opError("listen", err)
	}
	return nil
}

func (l *Listener) listenLocked(fd sock.FD, n int) error {
	n = Config{Backlog: n}.backlog()
	err := fd.Listen(n)
	if err == nil {
		l.noteBacklog(fd, n)
	}
	return err
}

// noteBacklog finds out what listen(2) granted, and reports a clamp, once.
func (l *Listener) noteBacklog(fd sock.FD, asked int) {
	l.asked = asked
	if q, err := backlog.Of(fd); err == nil {
		l.granted = q.Limit
	} else {
		l.granted = clamp(asked)
	}
	if l.granted < asked && !l.clampReported {
		l.clampReported = true
		l.cfg.logger().Warn("the kernel clamped the backlog: raise net.core.somaxconn, then listen again",
			"network", l.network, "address", l.addr.String(), "asked", asked, "granted", l.granted,
			"command", "sysctl -w net.core.somaxconn="+strconv.Itoa(asked))
	}
}

// clamp is what __sys_listen makes of a backlog.
func clamp(asked int) int {
	b, _ := os.ReadFile("/proc/sys/net/core/somaxconn")
	somaxconn, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		somaxconn = math.MaxInt32
	}
	if asked < 0 {
		return somaxconn
	}
	return min(asked, somaxconn)
}

// SyscallConn gives access to the listening socket. As with package net, only
// Control is of use. It may be called while others use the Listener; Close
// waits for it.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if _, err := l.socketLocked(); err != nil {
		return nil, l.opError("raw-control", err)
	}
	return rawListener{l}, nil
}

type rawListener struct{ l *Listener }

func (r rawListener) Control(f func(fd uintptr)) error {
	r.l.mu.RLock()
	defer r.l.mu.RUnlock()
	fd, err := r.l.socketLocked()
	if err != nil {
		return r.l.opError("raw-control", err)
	}
	f(uintptr(fd))
	return nil
}

func (r rawListener) Read(func(uintptr) bool) error { return syscall.EINVAL }

func (r rawListener) Write(func(uintptr) bool) error { return syscall.EINVAL }
