package reuseport

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/sock"
)

// children are what the test binary does when it is started as a child.
var children = map[string]func(){}

func TestMain(m *testing.M) {
	if role := children[os.Getenv("REUSEPORT_TEST_CHILD")]; role != nil {
		role()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func newGroup(t testing.TB, c Config, n int) *Group {
	t.Helper()
	g, err := c.Listen(context.Background(), "tcp", "127.0.0.1:0", n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// connect makes n connections to the group and tells how many each member has
// in its queue then. They are accepted and closed.
func connect(t testing.TB, g *Group, n int) map[ID]int {
	t.Helper()
	for range n {
		c, err := net.DialTimeout("tcp", g.Addr().String(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	got := map[ID]int{}
	for _, m := range g.Members() {
		for {
			fd, _, err := m.acceptNow()
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			fd.Close()
			got[m.ID]++
		}
	}
	return got
}

func total(got map[ID]int) (n int) {
	for _, k := range got {
		n += k
	}
	return n
}

// eventually polls a condition.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: ", what)
		}
	}
}

// socketOf makes a listening TCP socket, with options set before bind.
func socketOf(t testing.TB, address string, options ...func(sock.FD) error) sock.FD {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	addr := sock.FromNetAddr(a)
	fd, err := sock.Socket(addr.Family(), sock.Stream, sock.TCP)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range options {
		if err := set(fd); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(fd.Bind(addr), fd.Listen(128)); err != nil {
		fd.Close()
		t.Fatal(err)
	}
	return fd
}

func shareable(fd sock.FD) error { return sock.ReusePort.Set(fd, true) }
