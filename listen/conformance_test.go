package listen_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"onconn/fdpass"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/listen/listentest"
	"onconn/sock"
)

func TestConformance(t *testing.T) {
	fdpass.NewReceiver(sock.None).Accept() // opens /proc/self/fd for good
	for _, tt := range []struct {
		name   string
		listen func(t *testing.T) (net.Listener, error)
	}{
		{"net tcp", func(t *testing.T) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }},
		{"net tcp4", func(t *testing.T) (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") }},
		{"net unix", func(t *testing.T) (net.Listener, error) {
			return net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		}},
		{"tcp", with(listen.Config{}, "tcp", "localhost:0")},
		{"tcp wildcard", with(listen.Config{}, "tcp", ":0")},
		{"tcp4", with(listen.Config{}, "tcp4", "127.0.0.1:0")},
		{"tcp6", with(listen.Config{}, "tcp6", "[::1]:0")},
		{"mptcp", with(listen.Config{MPTCP: true}, "tcp", "127.0.0.1:0")},
		{"unix", withPath(listen.Config{}, "unix")},
		{"unixpacket", withPath(listen.Config{}, "unixpacket")},
		{"abstract", with(listen.Config{}, "unix", "")},
		{"limited", with(listen.Config{MaxConns: 64}, "tcp", "127.0.0.1:0")},
		{"paused", with(listen.Config{PauseOnConnect: true}, "tcp", "127.0.0.1:0")},
		{"shared", with(listen.Config{Shared: true}, "tcp", "127.0.0.1:0")},
		{"shared unix", withPath(listen.Config{Shared: true}, "unix")},
		{"owned", owned},
		{"copied", copied},
		{"one source", fromSources(listen.Config{}, 1)},
		{"two sources", fromSources(listen.Config{}, 2)},
		{"two shared sources", fromSources(listen.Config{Shared: true}, 2)},
		{"queue", fromQueue(listen.Config{})},
		{"shared queue", fromQueue(listen.Config{Shared: true})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testleak.FDs(t)
			listentest.TestListener(t, func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
				l, err := tt.listen(t)
				if err != nil {
					t.Fatal(err)
				}
				return l, func() (net.Conn, error) { return net.Dial(l.Addr().Network(), l.Addr().String()) }
			})
		})
	}
}

func with(c listen.Config, network, address string) func(*testing.T) (net.Listener, error) {
	return func(*testing.T) (net.Listener, error) {
		return c.Listen(context.Background(), network, address)
	}
}

func withPath(c listen.Config, network string) func(*testing.T) (net.Listener, error) {
	return func(t *testing.T) (net.Listener, error) {
		return c.Listen(context.Background(), network, filepath.Join(t.TempDir(), "s"))
	}
}

func owned(t *testing.T) (net.Listener, error) {
	fd, _ := listening(t, "127.0.0.1:0")
	return listen.Config{}.Own(fd)
}

func copied(t *testing.T) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { l.Close() })
	return listen.Config{}.Copy(l.(*net.TCPListener))
}

// fromSources listens on n sockets, of which only one gets connections.
func fromSources(c listen.Config, n int) func(t *testing.T) (net.Listener, error) {
	return func(t *testing.T) (net.Listener, error) {
		var srcs []sock.Source
		var addr net.Addr
		for range n {
			fd, a := listening(t, "127.0.0.1:0")
			srcs = append(srcs, fd)
			addr = a.NetAddr(sock.Stream)
		}
		return c.FromSources(addr, srcs...)
	}
}

// fromQueue listens on a queue that a primary fills, as a worker does.
func fromQueue(c listen.Config) func(t *testing.T) (net.Listener, error) {
	return func(t *testing.T) (net.Listener, error) {
		q, err := fdpass.NewQueue()
		if err != nil {
			return nil, err
		}
		primary := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				fd, peer, err := primary.AcceptFD()
				if err != nil {
					return
				}
				if _, err := q.Send([]fdpass.Record{{FD: fd, Peer: peer}}); err != nil {
					t.Error(err)
				}
				fd.Close()
			}
		}()
		t.Cleanup(func() {
			primary.Close()
			<-ended
			q.Close()
		})
		end, err := q.ReceiveEnd().Dup()
		if err != nil {
			return nil, err
		}
		return c.FromSources(primary.Addr(), fdpass.NewReceiver(end))
	}
}

// listening makes a bare listening socket; who uses it closes it.
func listening(t testing.TB, address string) (sock.FD, sock.Addr) {
	t.Helper()
	l, err := listen.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	addr := sock.FromNetAddr(l.Addr())
	fd, err := l.Release()
	if err != nil {
		t.Fatal(err)
	}
	return fd, addr
}

// mustListen closes the listener at the test's end, if the test didn't.
func mustListen(t testing.TB, c listen.Config, network, address string) *listen.Listener {
	t.Helper()
	l, err := c.Listen(context.Background(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dial connects to a listener, and closes the connection at the test's end.
func dial(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// accept accepts a connection, and closes it at the test's end.
func accept(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
