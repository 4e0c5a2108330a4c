package connwrap

import (
	"os"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// CloseRead shuts the read side down: what has arrived can still be read, then
// Read returns [io.EOF]. The peer isn't told; on TCP, what it sends later still
// arrives and can be read. See shutdown(2).
func (c *Conn) CloseRead() error {
	return c.opError("close", c.withFD(shutRead))
}

// CloseWrite sends the end of the stream after what has been written. Reading
// goes on. ENOTCONN: the peer has reset the connection.
func (c *Conn) CloseWrite() error {
	return c.opError("close", c.withFD(shutWrite))
}

func shutRead(fd sock.FD) error  { return fd.Shutdown(unix.SHUT_RD) }
func shutWrite(fd sock.FD) error { return fd.Shutdown(unix.SHUT_WR) }

// endOfStream shuts the write side down for NoHalfOpen, or leaves that to the
// last write in progress, which the shutdown would cut short.
func (c *Conn) endOfStream() {
	if !c.noHalfOpen {
		return
	}
	c.withFD(func(fd sock.FD) error {
		c.ended = true
		if c.writers > 0 {
			return nil
		}
		return shutWrite(fd)
	})
}

// beginWrite returns the file to write to. endWrite follows.
func (c *Conn) beginWrite() (*os.File, error) {
	f, err := c.use()
	if err != nil || !c.noHalfOpen {
		return f, err
	}
	return f, c.withFD(func(sock.FD) error {
		if c.ended {
			return os.NewSyscallError("write", unix.EPIPE)
		}
		c.writers++
		return nil
	})
}

func (c *Conn) endWrite() {
	if !c.noHalfOpen {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writers--
	if c.ended && c.writers == 0 && c.fd != sock.None {
		shutWrite(c.fd)
	}
}
