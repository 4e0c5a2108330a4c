package httpserve

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// lingerTime is how long a client that was told to go may take to close its side.
const lingerTime = time.Second

// Close closes the connection. In a drain it ends the stream first, and closes
// the socket when the client has closed too: to close a socket in which
// something is unread, or to which something still comes, is a reset, which
// destroys what the client has not received (RFC 9112, 9.6).
func (c *conn) Close() error {
	c.mu.Lock()
	// Somebody else's Close, while a Read waits, is http.Server.Close.
	linger := c.server.draining() && !c.closed && !c.hijacked && !c.ended && !c.reading
	c.closed = true
	if c.clock != nil {
		c.clock.Stop()
	}
	c.mu.Unlock()
	if linger && c.CloseWrite() == nil {
		go func() {
			c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
			io.Copy(io.Discard, c.Conn)
			c.end()
		}()
		return nil
	}
	return c.end()
}

func (c *conn) end() error {
	err := c.Conn.Close()
	c.server.remove(c)
	return err
}

// cutOff closes at once. It reports whether the connection was still in use.
func (c *conn) cutOff() bool {
	c.mu.Lock()
	used := !c.closed
	c.closed = true
	c.mu.Unlock()
	c.Conn.Close()
	return used
}

// The rest is for net/http and for those who hijack: what the connection can do.

// NetConn is the connection that the listener returned. It must not be closed.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *conn) CloseRead() error {
	if r, ok := c.Conn.(interface{ CloseRead() error }); ok {
		return r.CloseRead()
	}
	return errors.ErrUnsupported
}

func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// ReadFrom is sendfile(2) or splice(2) where the connection has them.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// WriteTo is splice(2) where the connection has it.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	c.mu.Lock()
	hijacked := c.hijacked
	c.mu.Unlock()
	if wt, ok := c.Conn.(io.WriterTo); ok && hijacked {
		return wt.WriteTo(w)
	}
	return io.Copy(w, struct{ io.Reader }{c})
}
