package accept

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("ACCEPT_TEST_ROLE"); role != "" {
		child(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is far longer than anything here takes.
const patience = 20 * time.Second

// eventually polls until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain waited until %s", what)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newLoop makes a loop that lives as long as the test.
func newLoop(t testing.TB, opts Options) *Loop {
	t.Helper()
	testleak.FDs(t)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := New(opts)
	check(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// run runs the loop until the end of the test, or until stop is called.
func run(t testing.TB, l *Loop) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run doesn't return")
		}
	}
	t.Cleanup(stop)
	return stop
}

// listener makes a listening socket that lives as long as the test.
func listener(t testing.TB, family sock.Family, typ sock.Type, backlog int) sock.FD {
	t.Helper()
	fd, err := sock.Socket(family, typ, 0)
	check(t, err)
	t.Cleanup(func() { fd.Close() })
	switch family {
	case sock.Inet:
		check(t, fd.Bind(sock.FromNetAddr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})))
	case sock.Inet6:
		check(t, fd.Bind(sock.FromNetAddr(&net.TCPAddr{IP: net.IPv6loopback})))
	case sock.Unix:
		check(t, fd.Bind(sock.UnixAddr(""))) // the kernel picks an abstract name
	}
	check(t, fd.Listen(backlog))
	return fd
}

func tcp(t testing.TB) sock.FD {
	t.Helper()
	return listener(t, sock.Inet, sock.Stream, 1024)
}

// dial connects to a listening socket; the test closes what it returns at its end.
func dial(t testing.TB, ln sock.FD) net.Conn {
	t.Helper()
	name, err := ln.Getsockname()
	check(t, err)
	typ, err := unix.GetsockoptInt(int(ln), unix.SOL_SOCKET, unix.SO_TYPE)
	check(t, err)
	a := name.NetAddr(sock.Type(typ))
	c, err := net.DialTimeout(a.Network(), a.String(), patience)
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// answer is a callback that sends one byte and closes.
func answer(fd sock.FD, _ sock.Addr) {
	fd.Write([]byte("k"))
	fd.Close()
}

// served reports whether answer has answered the client.
func served(t testing.TB, c net.Conn) bool {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	var b [1]byte
	_, err := c.Read(b[:])
	if err, ok := err.(net.Error); ok && err.Timeout() {
		t.Fatalf("%v was neither served nor closed", c.LocalAddr())
	}
	return err == nil
}

func wantServed(t testing.TB, c net.Conn) {
	t.Helper()
	if !served(t, c) {
		t.Errorf("%v was closed without an answer", c.LocalAddr())
	}
}

// wantClosed waits for the server's end of the stream.
func wantClosed(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.Copy(io.Discard, c); err != nil || n != 0 {
		t.Errorf("read %d bytes, %v; want the end of the stream", n, err)
	}
}
