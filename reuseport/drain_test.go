package reuseport

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

// deferred makes a group whose handshakes stay half-open until the client sends
// something, and a client whose SYN has chosen the first of two members. Another
// one waits in the queue of that: when the drain takes it, it has seen which
// handshakes there are.
func deferred(t *testing.T) (*Group, *Member, net.Conn) {
	t.Helper()
	g := newGroup(t, Config{Listener: listen.Config{DeferAccept: 30 * time.Second}}, 2)
	m := g.Member(1)
	if err := g.SetAway(g.Member(2), true); err != nil {
		t.Fatal(err)
	}
	clients := make([]net.Conn, 2)
	for i := range clients {
		c, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		clients[i] = c
	}
	if _, err := clients[1].Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one is queued", func() bool {
		q, err := m.Queue()
		return err == nil && q.Depth == 1
	})
	if err := g.SetAway(g.Member(2), false); err != nil {
		t.Fatal(err)
	}
	return g, m, clients[0]
}

// taking is a Drain that tells of each connection.
func taking() (Drain, <-chan sock.Addr) {
	taken := make(chan sock.Addr, 10)
	return Drain{Limit: 20 * time.Second, Take: func(fd sock.FD, peer sock.Addr) {
		fd.Close()
		taken <- peer
	}}, taken
}

type outcome struct {
	Report
	err error
}

func startDrain(ctx context.Context, g *Group, m *Member, d Drain) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := g.Drain(ctx, m, d)
		done <- outcome{r, err}
	}()
	return done
}

// A handshake that is half-open when the drain begins is completed, and the
// connection served.
func TestDrainWaitsForHandshakes(t *testing.T) {
	testleak.FDs(t)
	g, m, c := deferred(t)
	d, taken := taking()
	done := startDrain(context.Background(), g, m, d)
	<-taken
	if got := connectDeferred(t, g, 20); got[1] != 0 || got[2] != 20 {
		t.Errorf("20 connections during the drain went to %v", got)
	}
	select {
	case o := <-done:
		t.Fatalf("it didn't wait: %v", o)
	default:
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil || o.Pending < 1 || o.Rescued != 2 || o.HalfOpen+o.Queued != 0 {
		t.Errorf("%v, %v", o.Report, o.err)
	}
	if peer := <-taken; peer.String() != c.LocalAddr().String() {
		t.Errorf("taken was %v, not %v", peer, c.LocalAddr())
	}
	if g.Member(1) != nil {
		t.Error("the member is still there")
	}
}

// connectDeferred is connect for clients that speak first.
func connectDeferred(t *testing.T, g *Group, n int) map[ID]int {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	got := map[ID]int{}
	eventually(t, "they are in the queues", func() bool {
		for _, m := range g.Members() {
			for {
				fd, _, err := m.acceptNow()
				if err != nil {
					break
				}
				fd.Close()
				got[m.ID]++
			}
		}
		return total(got) == n
	})
	return got
}

// When another member leaves, places change, and it begins again.
func TestDrainBeginsAgain(t *testing.T) {
	testleak.FDs(t)
	g, m, c := deferred(t)
	third, err := g.Join(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	d, taken := taking()
	done := startDrain(context.Background(), g, m, d)
	<-taken
	if err := g.Leave(third); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if o := <-done; o.err != nil || o.Rescued != 2 || o.Rounds < 2 {
		t.Errorf("%v in %d rounds, %v", o.Report, o.Rounds, o.err)
	}
}

func TestDrainLimit(t *testing.T) {
	testleak.FDs(t)
	t.Run("handshake", func(t *testing.T) {
		g, m, c := deferred(t)
		r, err := g.Drain(context.Background(), m, Drain{Limit: 50 * time.Millisecond})
		if err != nil || r.HalfOpen != 1 || r.Queued != 1 || g.Member(1) != nil {
			t.Errorf("%v, %v", r, err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte("x"))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("what was given up reads %d, %v", n, err)
		}
	})
	t.Run("nobody accepts", func(t *testing.T) {
		g := newGroup(t, Config{}, 2)
		m := g.Member(1)
		fill(t, g, 3)
		r, err := g.Drain(context.Background(), m, Drain{Limit: 50 * time.Millisecond})
		if err != nil || r.Queued != 3 || r.Rescued != 0 || g.Member(1) != nil {
			t.Errorf("%v, %v", r, err)
		}
	})
}

// fill leaves n connections in the queue of the first of two members.
func fill(t *testing.T, g *Group, n int) {
	t.Helper()
	if err := g.SetAway(g.Member(2), true); err != nil {
		t.Fatal(err)
	}
	for range n {
		c, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	if err := g.SetAway(g.Member(2), false); err != nil {
		t.Fatal(err)
	}
}

// Without Take, whoever accepts goes on until the queue is empty; then Accept
// returns ErrClosed.
func TestDrainWhileServed(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 2)
	m := g.Member(1)
	fill(t, g, 5)
	ended := make(chan error)
	go func() {
		for {
			c, err := m.Accept()
			if err != nil {
				ended <- err
				return
			}
			c.Close()
		}
	}()
	r, err := g.Drain(context.Background(), m, Drain{Limit: 20 * time.Second})
	if err != nil || r.Queued != 0 {
		t.Errorf("%v, %v", r, err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
	if n := m.Counters().Accepted.Load(); n != 5 {
		t.Errorf("%d of 5 were accepted", n)
	}
}

// The socket is shut for every process that has it.
func TestDrainEndsDuplicates(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 2)
	dup, err := g.Member(1).Descriptor().Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	if _, err := g.Drain(context.Background(), g.Member(1), Drain{}); err != nil {
		t.Fatal(err)
	}
	if listening, err := sock.AcceptConn.Get(dup); err != nil || listening {
		t.Errorf("a duplicate listens: %t, %v", listening, err)
	}
	if got := connect(t, g, 20); got[2] != 20 {
		t.Errorf("20 connections went to %v", got)
	}
}

func TestDrainCanceled(t *testing.T) {
	testleak.FDs(t)
	g, m, _ := deferred(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := startDrain(ctx, g, m, Drain{Limit: time.Minute})
	eventually(t, "the member is away", m.Away)
	cancel()
	if o := <-done; !errors.Is(o.err, context.Canceled) {
		t.Errorf("%v, %v", o.Report, o.err)
	}
	if g.Member(1) != m || !m.Away() {
		t.Error("the member didn't stay, away")
	}
	if err := g.SetAway(m, false); err != nil {
		t.Error(err)
	}
}

// What is given up goes to the others where the kernel migrates.
func TestDrainMigrates(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	ns.Do(func() {
		g := newGroup(t, Config{}, 2)
		fill(t, g, 3)
		if r, err := g.Drain(context.Background(), g.Member(1), Drain{Limit: time.Millisecond}); err != nil || r.Queued != 3 || r.Migrates {
			t.Errorf("off: %+v, %v", r, err)
		}
	})
	ns.Sysctl("ipv4/tcp_migrate_req", "1")
	ns.Do(func() {
		g := newGroup(t, Config{}, 2)
		fill(t, g, 3)
		r, err := g.Drain(context.Background(), g.Member(1), Drain{Limit: time.Millisecond})
		if err != nil || r.Queued != 3 || !r.Migrates {
			t.Errorf("on: %+v, %v", r, err)
		}
		if q, err := g.Member(2).Queue(); err != nil || q.Depth != 3 {
			t.Errorf("the other member has %+v, %v", q, err)
		}
	})
}

// A drain from outside of the group's namespace finds its handshakes.
func TestDrainInNamespace(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	var g *Group
	var m *Member
	var c net.Conn
	ns.Do(func() { g, m, c = deferred(t) })
	d, taken := taking()
	done := startDrain(context.Background(), g, m, d)
	<-taken
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if o := <-done; o.err != nil || o.Pending != 1 || o.Rescued != 2 {
		t.Errorf("%v, %v", o.Report, o.err)
	}
}

// Whoever takes what comes to the member gets all of it, while nobody accepts from
// the others, and whether the kernel migrates or not.
func TestDrainTakesAll(t *testing.T) {
	for _, migrate := range []string{"0", "1"} {
		t.Run("migrate="+migrate, func(t *testing.T) {
			testleak.FDs(t)
			ns := netns.New(t)
			ns.Sysctl("ipv4/tcp_migrate_req", migrate)
			ns.Do(func() { drainTakesAll(t, ns) })
		})
	}
}

func drainTakesAll(t *testing.T, ns *netns.Namespace) {
	g := newGroup(t, Config{}, 3)
	m := g.Member(3)
	var conns []net.Conn
	over := make(chan struct{})
	done := make(chan struct{})
	go ns.Do(func() { // clients that send at once
		defer close(done)
		for {
			select {
			case <-over:
				return
			default:
			}
			c, err := net.Dial("tcp", g.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			c.Write([]byte("x"))
			if conns = append(conns, c); len(conns) > 300 {
				return
			}
		}
	})
	var taken []sock.FD
	r, err := g.Drain(context.Background(), m, Drain{Limit: 20 * time.Second, Take: func(fd sock.FD, _ sock.Addr) { taken = append(taken, fd) }})
	if err != nil || r.Queued+r.HalfOpen != 0 {
		t.Errorf("%v, %v", r, err)
	}
	close(over)
	<-done
	var p [1]byte
	for i, c := range conns {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.Read(p[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d of %d: %v; %v", i, len(conns), err, r)
		}
		c.Close()
	}
	for _, fd := range taken {
		fd.Close()
	}
	g.Close()
}
