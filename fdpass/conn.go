package fdpass

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Conn is a connected unix socket, STREAM or SEQPACKET, that waits in the
// runtime's poller. Its methods may be called from several goroutines:
// messages are sent and received one at a time, each as a whole.
//
// Errors are *[net.OpError], apart from io.EOF and [ErrTruncated]; after Close
// they are [net.ErrClosed], after a deadline [os.ErrDeadlineExceeded].
type Conn struct {
	file    *os.File
	raw     syscall.RawConn
	network string // as package net calls it
	closed  atomic.Bool
}

// NewConn takes ownership of fd, also when it fails. It makes fd non-blocking,
// for everyone who has the same open file description.
func NewConn(fd sock.FD) (*Conn, error) {
	c, err := newConn(fd)
	if err != nil {
		fd.Close()
		return nil, &net.OpError{Op: "file", Net: "unix", Err: err}
	}
	return c, nil
}

func newConn(fd sock.FD) (*Conn, error) {
	network, err := networkOf(fd)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(int(fd), true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), network)
	raw, _ := file.SyscallConn() // fails for a nil file only
	return &Conn{file: file, raw: raw, network: network}, nil
}

func networkOf(fd sock.FD) (string, error) {
	domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return "", os.NewSyscallError("getsockopt", err)
	}
	t, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case err != nil:
		return "", os.NewSyscallError("getsockopt", err)
	case domain == unix.AF_UNIX && sock.Type(t) == sock.Stream:
		return "unix", nil
	case domain == unix.AF_UNIX && sock.Type(t) == sock.SeqPacket:
		return "unixpacket", nil
	}
	return "", fmt.Errorf("%w: descriptors pass over unix stream or seqpacket sockets only, not %v %v",
		unix.ESOCKTNOSUPPORT, sock.Family(domain), sock.Type(t))
}

// SendMsg sends one message like [Send], waiting for room. On STREAM, an error
// in the middle leaves the peer with part of the message, so the Conn is of no
// more use then.
func (c *Conn) SendMsg(p []byte, fds ...sock.FD) error {
	err := check(p, fds)
	if err == nil && len(p) == 0 && c.network == "unix" {
		err = errDropped
	}
	if err != nil {
		return c.fail("write", err)
	}
	waitErr := c.raw.Write(func(fd uintptr) bool {
		for {
			var n int
			n, err = send(sock.FD(fd), p, fds)
			if err != nil || n == len(p) {
				return err != errSendAgain
			}
			p, fds = p[n:], nil // the descriptors went with the first byte
		}
	})
	if waitErr != nil {
		err = waitErr
	}
	return c.fail("write", err)
}

// ReceiveMsg receives one message like [Receive], waiting for it.
func (c *Conn) ReceiveMsg(p []byte, fds []sock.FD) (n, nfd int, err error) {
	return c.receive(p, fds, nil)
}

// ReceiveCred is ReceiveMsg that also tells who sent the message, by the
// kernel's word: unlike [Conn.PeerCred], which is about the process that made
// the connection. [Conn.SetPassCred] must have been set when it was sent;
// otherwise from is {0, -1, -1}.
func (c *Conn) ReceiveCred(p []byte, fds []sock.FD) (n, nfd int, from Cred, err error) {
	from = nobody
	n, nfd, err = c.receive(p, fds, &from)
	return n, nfd, from, err
}

func (c *Conn) receive(p []byte, fds []sock.FD, from *Cred) (n, nfd int, err error) {
	waitErr := c.raw.Read(func(fd uintptr) bool {
		n, nfd, err = receive(sock.FD(fd), p, fds, from)
		return err != errReceiveAgain
	})
	if waitErr != nil {
		err = waitErr
	}
	return n, nfd, c.fail("read", err)
}

// SetDeadline sets both deadlines; the zero time is none.
func (c *Conn) SetDeadline(t time.Time) error { return c.fail("set", c.file.SetDeadline(t)) }

// SetReadDeadline sets the time when receiving gives up.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.fail("set", c.file.SetReadDeadline(t)) }

// SetWriteDeadline sets the time when sending gives up.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.fail("set", c.file.SetWriteDeadline(t)) }

// Close closes the descriptor; calls that wait return.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.fail("close", net.ErrClosed)
	}
	return c.fail("close", c.file.Close())
}

// SyscallConn gives access to the descriptor, which the Conn keeps owning.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// fail makes err what package net would return.
func (c *Conn) fail(op string, err error) error {
	var call *os.SyscallError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &call), errors.Is(err, os.ErrDeadlineExceeded):
	case err == io.EOF, err == ErrTruncated:
		return err
	case c.closed.Load():
		err = net.ErrClosed // the poller's own error has no name outside os
	}
	return &net.OpError{Op: op, Net: c.network, Err: err}
}
