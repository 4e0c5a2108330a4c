package steer

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/reuseport"
)

// children are what the test binary does when it is started as a child.
var children = map[string]func(){}

func TestMain(m *testing.M) {
	if role := children[os.Getenv("STEER_TEST_CHILD")]; role != nil {
		role()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func newProgram(t testing.TB, c Config) *Program {
	t.Helper()
	if err := Supported(); errors.Is(err, unix.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func newGroup(t testing.TB, s reuseport.Steering, n int) *reuseport.Group {
	t.Helper()
	g, err := reuseport.Config{Steering: s}.Listen(context.Background(), "tcp", "127.0.0.1:0", n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// A crowd is clients with open connections, and the server's ends.
type crowd struct {
	t     testing.TB
	conns []net.Conn
}

func newCrowd(t testing.TB) *crowd {
	c := &crowd{t: t}
	t.Cleanup(func() {
		for _, conn := range c.conns {
			conn.Close()
		}
	})
	return c
}

// come connects n clients, one after the other, and has the members accept. It
// tells how many each got; they stay open.
func (c *crowd) come(g *reuseport.Group, n int) map[reuseport.ID]int {
	c.t.Helper()
	got := map[reuseport.ID]int{}
	for range n {
		conn, err := net.DialTimeout("tcp", g.Addr().String(), 10*time.Second)
		if err != nil {
			c.t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		got[c.accept(g)]++
	}
	return got
}

// accept accepts the one connection that waits.
func (c *crowd) accept(g *reuseport.Group) reuseport.ID {
	c.t.Helper()
	for _, m := range g.Members() {
		q, err := m.Queue()
		if err != nil {
			c.t.Fatal(err)
		}
		if q.Depth > 0 {
			conn, err := m.Accept()
			if err != nil {
				c.t.Fatal(err)
			}
			c.conns = append(c.conns, conn)
			return m.ID
		}
	}
	c.t.Fatal("no connection waits")
	return 0
}

// imbalance is the greatest share over the mean.
func imbalance(got map[reuseport.ID]int, members int) float64 {
	most, sum := 0, 0
	for _, n := range got {
		most = max(most, n)
		sum += n
	}
	return float64(most) * float64(members) / float64(sum)
}
