package connwrap

import (
	"net"
	"syscall"
)

// SyscallConn gives access to the descriptor, which stays non-blocking and the
// Conn's. Its Control, Read and Write end a pause; SyscallConn itself doesn't.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

type rawConn struct{ c *Conn }

func (r rawConn) Control(f func(uintptr)) error {
	if err := r.c.rawControl(f); err != nil {
		return &net.OpError{Op: "raw-control", Net: r.c.network, Addr: r.c.source(), Err: err}
	}
	return nil
}

func (r rawConn) Read(f func(uintptr) bool) error {
	return r.c.opError("raw-read", r.c.rawRead(f))
}

func (r rawConn) Write(f func(uintptr) bool) error {
	return r.c.opError("raw-write", r.c.rawWrite(f))
}

func (c *Conn) rawControl(f func(uintptr)) error {
	file, err := c.use()
	if err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err == nil {
		err = raw.Control(f)
	}
	return c.fileError("control", err)
}

// rawRead calls f with the descriptor, each time that it is readable, until f
// says that it is done. Other reads wait.
func (c *Conn) rawRead(f func(uintptr) bool) error {
	file, err := c.use()
	if err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err == nil {
		err = raw.Read(f)
	}
	return c.fileError("read", err)
}

// rawWrite is rawRead for writing.
func (c *Conn) rawWrite(f func(uintptr) bool) error {
	file, err := c.beginWrite()
	if err != nil {
		return err
	}
	defer c.endWrite()
	raw, err := file.SyscallConn()
	if err == nil {
		err = raw.Write(f)
	}
	return c.fileError("write", err)
}
