package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Own makes a Listener of a socket that listens already, and owns fd from then
// on: when Own fails, fd is still the caller's.
//
// It sets fd close-on-exec, and O_NONBLOCK if it is missing, which is a property
// of the open file description: other descriptors and processes that share it
// get it too ([Config.AsIs]). NODELAY and keep-alive are set as for a new socket, and the
// backlog if the Config has one; other options stay what they are. The file of
// a unix socket is not unlinked by Close.
//
// EINVAL: it doesn't listen; ENOTSOCK: it is no socket; EPROTONOSUPPORT: it is
// of a kind that this package doesn't know.
func (c Config) Own(fd sock.FD) (*Listener, error) {
	err := c.validate()
	if err == nil {
		var l *Listener
		if l, err = c.adopt(fd); err == nil {
			return l, nil
		}
	}
	return nil, opError("listen", "fd", fdAddr(strconv.Itoa(int(fd))), err)
}

// Copy makes a Listener of a duplicate of sc's socket, as of a [net.TCPListener].
// Both listen on the one queue, which lives until both are closed. It is as Own
// otherwise, but refuses a blocking socket, since making the duplicate
// non-blocking would change the original.
func (c Config) Copy(sc syscall.Conn) (*Listener, error) {
	var l *Listener
	err := c.validate()
	if err == nil {
		var fd sock.FD
		if fd, err = duplicate(sc); err == nil {
			if l, err = c.adopt(fd); err != nil {
				fd.Close()
			}
		}
	}
	if err != nil {
		return nil, opError("listen", "fd", nil, err)
	}
	return l, nil
}

// FromSources makes a Listener of other sources of connections than one socket
// of its own, as the receiving end of a queue. It takes from each in turn, and
// owns their descriptors, which must be non-blocking, unless it fails. addr is
// what Addr returns.
//
// A source whose Accept returns [io.EOF] is closed and dropped; after the last
// one Accept returns [net.ErrClosed]. Of the Config only MaxConns, Shared,
// NoHalfOpen, PauseOnConnect and Counters matter.
func (c Config) FromSources(addr net.Addr, srcs ...sock.Source) (*Listener, error) {
	err := c.validate()
	if err == nil && len(srcs) == 0 {
		err = errors.New("listen: no source")
	}
	for _, s := range srcs {
		if err == nil {
			err = checkNonblocking(s.Descriptor())
		}
	}
	if err != nil {
		return nil, opError("listen", addr.Network(), addr, err)
	}
	l := c.newListener(addr.Network(), addr, sock.FromNetAddr(addr), append([]sock.Source(nil), srcs...)...)
	if fd, err := l.socketLocked(); err == nil {
		l.noteBacklog(fd, 0)
	}
	return l, nil
}

func (c Config) adopt(fd sock.FD) (*Listener, error) {
	network, err := inspect(fd)
	if err != nil {
		return nil, err
	}
	if !c.AsIs {
		if err := unix.SetNonblock(int(fd), true); err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
	}
	unix.CloseOnExec(int(fd))
	if network == "tcp" {
		if err := c.setInherited(fd); err != nil {
			return nil, err
		}
	}
	if c.Backlog != 0 {
		if err := fd.Listen(c.Backlog); err != nil {
			return nil, err
		}
	}
	return c.newSocketListener(network, fd, c.Backlog)
}

// inspect finds the network of a listening socket, and why another isn't one.
func inspect(fd sock.FD) (network string, err error) {
	listening, err := sock.AcceptConn.Get(fd)
	if err != nil {
		return "", err
	}
	if !listening {
		return "", fmt.Errorf("%s: %w", notListening(fd), unix.EINVAL)
	}
	domain, err := sock.SockDomain.Get(fd)
	if err != nil {
		return "", err
	}
	t, err := sock.SockType.Get(fd)
	if err != nil {
		return "", err
	}
	p, err := sock.SockProtocol.Get(fd)
	if err != nil {
		return "", err
	}
	isTCP := p == sock.TCP || p == sock.MPTCP
	switch {
	case (domain == sock.Inet || domain == sock.Inet6) && t == sock.Stream && isTCP:
		return "tcp", nil
	case domain == sock.Unix && t == sock.Stream:
		return "unix", nil
	case domain == sock.Unix && t == sock.SeqPacket:
		return "unixpacket", nil
	case domain == sock.Vsock && t == sock.Stream:
		return "vsock", nil
	}
	return "", fmt.Errorf("a listening socket of %v, %v, %v: %w", domain, t, p, unix.EPROTONOSUPPORT)
}

// notListening says what a socket is that doesn't listen.
func notListening(fd sock.FD) string {
	if peer, err := fd.Getpeername(); err == nil {
		return fmt.Sprintf("the socket is a connection to %v, not a listening socket", peer)
	}
	if a, err := fd.Getsockname(); err == nil && (a.Port() != 0 || a.Name() != "") {
		return fmt.Sprintf("the socket is bound to %v but does not listen: call listen(2) on it first", a)
	}
	return "the socket is neither bound nor listening"
}

func duplicate(sc syscall.Conn) (fd sock.FD, err error) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return sock.None, err
	}
	controlErr := raw.Control(func(original uintptr) {
		if err = checkNonblocking(sock.FD(original)); err == nil {
			fd, err = sock.FD(original).Dup()
		}
	})
	if controlErr != nil {
		return sock.None, controlErr
	}
	return fd, err
}

func checkNonblocking(fd sock.FD) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if flags&unix.O_NONBLOCK == 0 {
		return fmt.Errorf("fd %d is blocking: set O_NONBLOCK on it first: %w", fd, unix.EINVAL)
	}
	return nil
}

// An fdAddr is the address of the network "fd", as it was given.
type fdAddr string

func (fdAddr) Network() string { return "fd" }

func (a fdAddr) String() string { return string(a) }
