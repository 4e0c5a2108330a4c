package connwrap

import (
	"io/fs"
	"net"
	"os"
	"syscall"

	"onconn/sock"
)

// opError wraps err as package net does. Nil stays nil.
func (c *Conn) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: c.network, Source: c.source(), Addr: c.peer(), Err: err}
}

// setError is the form that deadlines, buffer sizes and RawConn.Control have in
// package net: about the local address only.
func (c *Conn) setError(err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: "set", Net: c.network, Addr: c.source(), Err: err}
}

// fileError turns an error of c.file into what package net has below its
// *net.OpError: an errno as an *os.SyscallError, and net.ErrClosed.
func (c *Conn) fileError(call string, err error) error {
	if e, ok := err.(*fs.PathError); ok {
		err = e.Err
	}
	switch err {
	case nil, os.ErrDeadlineExceeded, net.ErrClosed:
		return err
	}
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(call, errno)
	}
	// Deadlines and raw calls on a closed file return an error that package os
	// doesn't export.
	if c.closed() {
		return net.ErrClosed
	}
	return err
}

func (c *Conn) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd == sock.None
}
