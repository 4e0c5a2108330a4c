package httpserve

import (
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// grown is a connection of a server whose drain has begun, and whose grace ends
// when the test says so.
func grown(t *testing.T) (c *conn, client net.Conn) {
	t.Helper()
	begun := make(chan struct{})
	close(begun)
	s := &Server{HTTP: &http.Server{}, Begin: begun, Timeout: time.Hour, Grace: time.Hour}
	s.once.Do(s.prepare)
	s.drain()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	nc, err := (&listener{Listener: ln, server: s}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	c = nc.(*conn)
	t.Cleanup(func() {
		client.Close()
		c.Close()
		s.wait()
	})
	return c, client
}

func (c *conn) endGrace() {
	c.mu.Lock()
	c.since = c.since.Add(-time.Hour)
	c.mu.Unlock()
	c.graceOver()
}

// A request that is in the socket when the grace ends is read, whether somebody
// reads already or comes later.
func TestUnreadRequestIsRead(t *testing.T) {
	testleak.FDs(t)
	c, client := grown(t)
	client.Write([]byte("request"))
	eventually(t, "a request in the socket", func() bool { return unread(c.Conn) })
	c.endGrace()
	var p [20]byte
	if n, err := c.Read(p[:]); string(p[:n]) != "request" || err != nil {
		t.Fatal(string(p[:n]), err)
	}
	c.endGrace() // it has begun
	go client.Write([]byte("body"))
	if n, err := c.Read(p[:]); string(p[:n]) != "body" || err != nil {
		t.Fatal(string(p[:n]), err)
	}

	// A reader that is woken finds what came in between.
	c.changed(http.StateIdle)
	c.beginRead()
	c.endGrace()
	client.Write([]byte("late"))
	eventually(t, "another one", func() bool { return unread(c.Conn) })
	if n, err := c.Conn.Read(p[:]); !c.endRead(n, err) || err == nil {
		t.Fatal("woken: ", n, err)
	}
	if n, err := c.Read(p[:]); string(p[:n]) != "late" || err != nil {
		t.Fatal(string(p[:n]), err)
	}
}

// The clock takes nobody else's deadline away.
func TestDeadlines(t *testing.T) {
	testleak.FDs(t)
	c, client := grown(t)
	c.beginRead()
	c.endGrace()
	c.SetDeadline(time.Time{})
	var p [20]byte
	n, err := c.Conn.Read(p[:])
	if err == nil || !c.endRead(n, err) {
		t.Fatal("the reader sleeps on: ", n, err)
	}
	c.changed(http.StateActive)
	go client.Write([]byte("body"))
	if n, err := c.Read(p[:]); string(p[:n]) != "body" || err != nil {
		t.Fatal("the clock's deadline stayed: ", string(p[:n]), err)
	}
	c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.Read(p[:]); !os.IsTimeout(err) {
		t.Error("net/http's deadline: ", err)
	}
	c.SetReadDeadline(time.Time{})
	c.changed(http.StateIdle)
	c.endGrace()
	if _, err := c.Read(p[:]); err != io.EOF {
		t.Error("nothing waits: ", err)
	}
}

// During the handshake bytes are no request.
func TestHandshake(t *testing.T) {
	testleak.FDs(t)
	c, client := grown(t)
	c.fresh = true
	client.Write([]byte("hello"))
	var p [20]byte
	if n, err := c.Read(p[:]); string(p[:n]) != "hello" || err != nil {
		t.Fatal(string(p[:n]), err)
	}
	c.graceOver() // has begun again
	c.endGrace()
	if _, err := c.Read(p[:]); err != io.EOF {
		t.Error(err)
	}
}
