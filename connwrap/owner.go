package connwrap

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Resume puts a paused or late Conn into the runtime's poller, as its first use, or
// the first that has to wait, would.
// On any other it does nothing.
func (c *Conn) Resume() error {
	c.mu.Lock()
	err := c.register()
	c.mu.Unlock()
	return c.opError("resume", err)
}

// Close closes the descriptor. Reads and writes that wait return
// [net.ErrClosed], as does everything afterwards, also a second Close.
func (c *Conn) Close() error {
	c.mu.Lock()
	fd, file := c.fd, c.file
	if fd == sock.None {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.letGo()
	c.mu.Unlock()

	var err error
	if file != nil {
		err = file.Close()
	} else {
		err = fd.Close()
	}
	if c.onClose != nil {
		c.onClose()
	}
	return c.opError("close", c.fileError("close", err))
}

// Detach takes the descriptor out of the Conn, which is closed by it, and gives
// it to the caller: still non-blocking, with all that has arrived and was not
// read. Reads and writes that wait return [net.ErrClosed] first.
//
// A paused Conn gives back the descriptor it was made of. Any other gives a
// duplicate, since an os.File can't let go of its own, and if there is no
// descriptor left for that (EMFILE) it stays as it was.
func (c *Conn) Detach() (sock.FD, error) {
	fd, file, err := c.detach()
	if err != nil {
		return sock.None, c.opError("detach", err)
	}
	if file != nil {
		file.Close() // returns after the last read or write has
	}
	if c.onClose != nil {
		c.onClose()
	}
	return fd, nil
}

func (c *Conn) detach() (sock.FD, *os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd := c.fd
	if fd == sock.None {
		return sock.None, nil, net.ErrClosed
	}
	if c.file != nil {
		var err error
		if fd, err = fd.Dup(); err != nil {
			return sock.None, nil, err
		}
	}
	c.letGo()
	return fd, c.file, nil
}

// letGo marks the Conn closed. c.mu is held.
func (c *Conn) letGo() {
	// The addresses stay readable, but a connection that was accepted and
	// dropped unused shall not cost two more system calls for that.
	if c.used || c.active.Load() != nil {
		c.learnNames()
	}
	c.fd = sock.None
}

// use returns the file to read, write or wait on, and ends a pause.
func (c *Conn) use() (*os.File, error) {
	if f := c.active.Load(); f != nil {
		return f, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.join()
}

// register puts the descriptor into the runtime's poller. c.mu is held.
func (c *Conn) register() error {
	if c.fd == sock.None {
		return net.ErrClosed
	}
	if c.active.Load() != nil {
		return nil
	}
	if c.file == nil {
		c.file = os.NewFile(uintptr(c.fd), c.network)
	}
	// NewFile keeps silent when it couldn't register: such a file has no deadlines.
	if c.file.SetDeadline(time.Time{}) != nil {
		return whyNotPolled(c.fd)
	}
	return nil
}

func whyNotPolled(fd sock.FD) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	switch {
	case err != nil:
		return os.NewSyscallError("fcntl", err)
	case flags&unix.O_NONBLOCK == 0:
		return errors.New("the descriptor is in blocking mode: set O_NONBLOCK first")
	}
	return errors.New("the runtime's poller did not take the descriptor: no socket, or fs.epoll.max_user_watches is reached")
}

// withFD calls f with the descriptor, which stays open for as long as that takes.
func (c *Conn) withFD(f func(sock.FD) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd == sock.None {
		return net.ErrClosed
	}
	return f(c.fd)
}
