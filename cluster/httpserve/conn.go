package httpserve

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A listener wraps the connections of another one.
type listener struct {
	net.Listener
	server *Server
	tls    bool // TLS is spoken on the connections
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if _, ok := nc.(*tls.Conn); ok { // net/http must see that it is one
		nc.Close()
		return nil, errors.New("httpserve: the listener's connections are those of crypto/tls: use ServeTLS and HTTP.TLSConfig")
	}
	c := &conn{Conn: nc, server: l.server, idle: true, fresh: l.tls}
	l.server.add(c)
	return c, nil
}

// A conn is a connection below net/http, and below TLS. It ends a Read that
// waits for a request when the grace is over.
//
// The reader itself does that, and not the one that has the clock: only the
// reader knows that no byte has been read from the socket which net/http has not
// made a request of yet. So the clock wakes it by a deadline, and it looks into
// the socket a last time.
type conn struct {
	net.Conn
	server *Server

	mu       sync.Mutex
	deadline time.Time // for reading, as net/http has set it
	idle     bool      // no byte of the next request has come
	fresh    bool      // what comes may be the TLS handshake yet
	since    time.Time // when the grace began
	clock    *time.Timer
	due      bool // the grace is over
	reading  bool
	woken    bool // the deadline of the socket is not net/http's but in the past
	ended    bool // the client has closed its side
	hijacked bool
	closed   bool
}

// managed finds the conn in what net/http calls the connection.
func managed(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

// changed follows net/http, on the goroutine that reads.
func (c *conn) changed(state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateActive, http.StateHijacked:
		c.idle, c.fresh, c.due = false, false, false
		c.hijacked = state == http.StateHijacked
	case http.StateIdle:
		c.idle, c.fresh = true, false
		if c.server.draining() {
			c.beginGrace()
		}
	}
}

// leave is the beginning of the drain.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle && !c.closed {
		c.beginGrace()
	}
}

func (c *conn) beginGrace() {
	c.since, c.due = time.Now(), false
	if c.clock == nil {
		c.clock = time.AfterFunc(c.server.grace, c.graceOver)
	} else {
		c.clock.Reset(c.server.grace)
	}
}

func (c *conn) graceOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.idle || c.closed || time.Since(c.since) < c.server.grace {
		return // it was the clock of an earlier grace
	}
	c.due = true
	if c.reading && !c.woken {
		c.woken = true
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Read reads for net/http, or for TLS below it. After the grace it returns
// io.EOF, if nothing waits.
func (c *conn) Read(p []byte) (int, error) {
	for c.beginRead() {
		n, err := c.Conn.Read(p)
		if !c.endRead(n, err) {
			return n, err
		}
	}
	return 0, io.EOF
}

// beginRead reports whether it is worth while to wait.
func (c *conn) beginRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle && c.due && !unread(c.Conn) {
		return false
	}
	c.reading = true
	return true
}

// endRead reports whether the clock has ended the read.
func (c *conn) endRead(n int, err error) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if c.woken {
		c.woken = false
		c.Conn.SetReadDeadline(c.deadline)
		again = n == 0 && late
	}
	if n > 0 {
		c.idle = c.fresh
		if c.fresh && c.server.draining() {
			c.beginGrace() // that was the handshake, or a request at last
		}
	}
	c.ended = c.ended || err != nil && !late
	return again
}

// unread reports whether bytes wait in the socket.
func unread(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return err == nil && n > 0
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.woken {
		return nil // endRead sets it
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}
