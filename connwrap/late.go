package connwrap

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A late Conn is read and written by calls that can't wait, under mu, until one
// finds that it has to: then it joins the runtime's poller. Most of a short
// connection's life needs neither the poller nor the Go scheduler.

// readNow reads what is there. It returns the file to wait on if that is nothing.
func (c *Conn) readNow(p []byte) (n int, f *os.File, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.active.Load(); f != nil {
		return 0, f, nil
	}
	switch {
	case c.fd == sock.None:
		return 0, nil, net.ErrClosed
	case c.readPassed:
		return 0, nil, os.ErrDeadlineExceeded
	case len(p) == 0:
		return 0, nil, nil
	}
	c.used = true
	n, err = c.fd.Recv(p, unix.MSG_DONTWAIT)
	if err == nil && n == 0 && c.network == "unixpacket" {
		n, err = c.fd.Recv(p, unix.MSG_DONTWAIT) // see lastMessage
		if n == 0 || err != nil {
			return 0, nil, io.EOF
		}
	}
	switch {
	case err == nil && n == 0:
		return 0, nil, io.EOF
	case errors.Is(err, unix.EAGAIN):
		f, err = c.join()
		return 0, f, err
	}
	return n, nil, errnoOf(err)
}

// writeNow writes what fits. If that isn't all of p it returns the file to write
// the rest to, with mu held: writeRest gives it back.
func (c *Conn) writeNow(p []byte) (n int, f *os.File, err error) {
	c.mu.Lock()
	if c.active.Load() != nil {
		c.mu.Unlock()
		n, err = c.writeFile(p)
		return n, nil, err
	}
	switch {
	case c.fd == sock.None:
		err = net.ErrClosed
	case c.writePassed:
		err = os.ErrDeadlineExceeded
	case c.ended:
		err = unix.EPIPE
	default:
		c.used = true
		n, err = c.fd.Send(p, unix.MSG_DONTWAIT)
		if err == nil && n < len(p) || errors.Is(err, unix.EAGAIN) {
			if err = c.enter(); err == nil {
				f = c.file
				if c.noHalfOpen {
					c.writers++
				}
				return n, f, nil
			}
		}
		err = errnoOf(err)
	}
	c.mu.Unlock()
	return n, nil, err
}

// writeRest writes p to f. No other write shall come in between, so f is published
// and mu given back only when the file's own lock for writing is held: whoever saw
// it before could take that lock, wait for the peer, and keep Close from mu.
func (c *Conn) writeRest(f *os.File, p []byte) (n int, err error) {
	defer c.endWrite()
	held := true
	unlock := func() {
		if held {
			held = false
			c.active.Store(f)
			c.mu.Unlock()
		}
	}
	raw, err := f.SyscallConn()
	if err != nil {
		unlock()
		return 0, err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		unlock()
		for {
			var k int
			k, sendErr = sock.FD(fd).Send(p[n:], unix.MSG_DONTWAIT)
			n += k
			if errors.Is(sendErr, unix.EAGAIN) {
				return false
			}
			if sendErr != nil || n == len(p) {
				return true
			}
		}
	})
	unlock()
	if err == nil {
		err = errnoOf(sendErr)
	}
	return n, err
}

// join makes the file the one to read, write and wait on. mu is held.
func (c *Conn) join() (*os.File, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	c.active.Store(c.file)
	return c.file, nil
}

// enter registers a late Conn, and gives the file the deadlines that have passed
// already: once, or it would undo those that are set later. mu is held.
func (c *Conn) enter() error {
	if err := c.register(); err != nil {
		return err
	}
	if c.readPassed {
		c.file.SetReadDeadline(time.Unix(1, 0))
	}
	if c.writePassed {
		c.file.SetWriteDeadline(time.Unix(1, 0))
	}
	c.readPassed, c.writePassed = false, false
	return nil
}

// noteDeadline does what a deadline on a late Conn means, if that needs no timer:
// nobody waits. It reports whether that was all.
func (c *Conn) noteDeadline(t time.Time, read, write bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.late || c.fd == sock.None || c.file != nil {
		return false
	}
	passed := !t.IsZero()
	if passed && time.Until(t) > 0 {
		return false
	}
	c.used = true
	if read {
		c.readPassed = passed
	}
	if write {
		c.writePassed = passed
	}
	return true
}

// errnoOf is the errno below an error of package sock.
func errnoOf(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
