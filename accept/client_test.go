package accept

import (
	"testing"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A client connects by plain blocking system calls, which allocate nothing.
type client struct {
	t    testing.TB
	addr unix.SockaddrInet4
}

func newClient(t testing.TB, ln sock.FD) *client {
	t.Helper()
	name, err := ln.Getsockname()
	check(t, err)
	return &client{t, unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(name.Port())}}
}

// connect connects and hangs up at once.
func (c *client) connect() { c.reset(c.open()) }

// reset hangs up by a reset, which leaves no TIME_WAIT behind.
func (c *client) reset(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

func (c *client) open() int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &c.addr)
	}
	if err != nil {
		c.t.Error(err)
	}
	return fd
}

// burst opens n connections, waits until the server has closed each, and
// returns n.
func (c *client) burst(n int) int {
	var fds [64]int
	for i := range n {
		fds[i] = c.open()
	}
	var b [1]byte
	for _, fd := range fds[:n] {
		unix.Read(fd, b[:])
		c.reset(fd)
	}
	return n
}
