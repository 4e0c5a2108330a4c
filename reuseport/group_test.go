package reuseport

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

func TestListen(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 4)
	if got := connect(t, g, 400); total(got) != 400 || len(got) != 4 {
		t.Errorf("400 connections went to %v", got)
	}
	// Nobody shares the port by chance, as long as the group is alone.
	if _, err := listen.Listen("tcp", g.Addr().String()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("another server on the port: %v", err)
	}
}

func TestListenFirstIsExclusive(t *testing.T) {
	testleak.FDs(t)
	other := socketOf(t, "127.0.0.1:0", shareable)
	defer other.Close()
	a, err := other.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	if g, err := Listen("tcp", a.String(), 2); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a group on a port with a shareable socket of this user: %v, %v", g, err)
	}
	g, err := Config{Listener: listen.Config{ReusePort: true}}.Listen(context.Background(), "tcp", a.String(), 2)
	if err != nil {
		t.Fatal("asked to share: ", err)
	}
	defer g.Close()
	if out, err := g.Outsiders(); len(out) != 1 || out[0].Relation != Shares {
		t.Errorf("outsiders %v, %v", out, err)
	}
}

// One member alone takes a program, too.
func TestSingleMember(t *testing.T) {
	testleak.FDs(t)
	for _, s := range []Steering{Hash{}, Weighted{}, ByCPU{}, IncomingCPU{}} {
		g := newGroup(t, Config{Steering: s}, 1)
		if got := connect(t, g, 10); got[1] != 10 {
			t.Errorf("%v: %v", s, got)
		}
		if err := g.SetAway(g.Member(1), true); !errors.Is(err, errOnly) {
			t.Errorf("%v: steered away from the only member: %v", s, err)
		}
		if _, err := g.Drain(context.Background(), g.Member(1), Drain{}); !errors.Is(err, errOnly) {
			t.Errorf("%v: drained the only member: %v", s, err)
		}
	}
}

// attachEach finds the kernel's order: a program that returns i, and who gets
// the connection then.
func kernelOrder(t *testing.T, g *Group) []ID {
	t.Helper()
	var ids []ID
	members := g.Members()
	for i := range members {
		if err := attach(members[0].Descriptor(), []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: uint32(i)}}); err != nil {
			t.Fatal(err)
		}
		for id := range connect(t, g, 1) {
			ids = append(ids, id)
		}
	}
	return ids
}

// The books agree with the kernel's order over random histories.
func TestOrder(t *testing.T) {
	testleak.FDs(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 10 {
		g := newGroup(t, Config{}, 1)
		var history []string
		for range 25 {
			members := g.Members()
			if len(members) < 2 || len(members) < 8 && r.IntN(2) == 0 {
				m, err := g.Join(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				history = append(history, "+"+m.ID.String())
			} else {
				m := members[r.IntN(len(members))]
				history = append(history, "-"+m.ID.String())
				end := g.Leave
				if r.IntN(2) == 0 {
					end = func(m *Member) error {
						_, err := g.Drain(context.Background(), m, Drain{})
						return err
					}
				}
				if err := end(m); err != nil {
					t.Fatal(err)
				}
			}
			var books []ID
			for _, m := range g.Members() {
				books = append(books, m.ID)
			}
			if kernel := kernelOrder(t, g); !slices.Equal(books, kernel) {
				t.Fatalf("seed %d, after %v: the books say %v, the kernel %v", seed, history, books, kernel)
			}
		}
		g.Close()
	}
}

func TestJoinLeaveResize(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 2)
	m, err := g.Join(context.Background())
	if err != nil || m.ID != 3 {
		t.Fatalf("joined %v, %v", m, err)
	}
	if err := g.Leave(g.Member(2)); err != nil {
		t.Fatal(err)
	}
	if g.Member(2) != nil {
		t.Error("it left and is still there")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, op := range []error{g.Leave(m), g.SetAway(m, true), g.SetWeight(m, 2)} {
		if !errors.Is(op, errForeign) {
			t.Errorf("with one that has left: %v", op)
		}
	}
	if _, err := g.Resize(context.Background(), 5, Drain{}); err != nil || g.size() != 5 {
		t.Fatalf("%d members, %v", g.size(), err)
	}
	if g.Member(3) != nil {
		t.Error("an ID was used again")
	}
	reports, err := g.Resize(context.Background(), 2, Drain{})
	if err != nil || len(reports) != 3 || g.size() != 2 {
		t.Errorf("reports %v, %d members, %v", reports, g.size(), err)
	}
	if _, err := g.Resize(context.Background(), 0, Drain{}); !errors.Is(err, errOnly) {
		t.Errorf("resized to nothing: %v", err)
	}
	if got := connect(t, g, 20); total(got) != 20 {
		t.Errorf("20 connections went to %v", got)
	}
}

func TestAdopt(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 2)
	fd := socketOf(t, g.Addr().String(), shareable)
	m, err := g.Adopt(fd)
	if err != nil || m.ID != 3 {
		t.Fatalf("adopted %v, %v", m, err)
	}
	dup, err := m.Descriptor().Dup()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := g.Adopt(dup); again != m || err != nil {
		t.Errorf("a descriptor that came back is %v, %v", again, err)
	}
	if err := g.SetAway(g.Member(1), true); err != nil {
		t.Fatal(err)
	}
	if got := connect(t, g, 60); got[1] != 0 || got[2] == 0 || got[3] == 0 {
		t.Errorf("60 connections, none for 1: %v", got)
	}
}

func TestAdoptRefuses(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 1)
	address := g.Addr().String()
	alone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	for _, c := range []struct {
		name string
		make func() sock.FD
		want error
	}{
		{"another port", func() sock.FD { return socketOf(t, "127.0.0.1:0", shareable) }, unix.EINVAL},
		{"no flag", func() sock.FD { return socketOf(t, "127.0.0.1:0") }, unix.EINVAL},
		{"MPTCP", func() sock.FD {
			fd, err := sock.Socket(sock.Inet, sock.Stream, sock.MPTCP)
			if err != nil {
				t.Skip(err)
			}
			return fd
		}, unix.EOPNOTSUPP},
		{"unix", func() sock.FD {
			a, b, err := sock.Pair(sock.Stream)
			if err != nil {
				t.Fatal(err)
			}
			b.Close()
			return a
		}, unix.EPROTONOSUPPORT},
		{"not listening", func() sock.FD {
			fd := socketOf(t, address, shareable)
			if err := shutdown(fd); err != nil {
				t.Fatal(err)
			}
			return fd
		}, unix.EINVAL},
		{"closed", func() sock.FD { return sock.None }, unix.EBADF},
	} {
		t.Run(c.name, func(t *testing.T) {
			fd := c.make()
			m, err := g.Adopt(fd)
			if !errors.Is(err, c.want) {
				t.Errorf("adopted %v, %v; want %v", m, err, c.want)
			}
			t.Log(err)
			if fd != sock.None {
				if err := fd.Close(); err != nil {
					t.Errorf("the descriptor is not the caller's any more: %v", err)
				}
			}
		})
	}
	if _, err := (Config{Listener: listen.Config{MPTCP: true}}).Listen(context.Background(), "tcp", "127.0.0.1:0", 1); !errors.Is(err, errMPTCP) {
		t.Errorf("a group of MPTCP sockets: %v", err)
	}
	if _, err := Listen("unix", "@x", 2); err == nil {
		t.Error("a group of unix sockets")
	}
}

// What one process has, another goes on with, in the same places.
func TestRestore(t *testing.T) {
	testleak.FDs(t)
	old := newGroup(t, Config{}, 5)
	if err := old.Leave(old.Member(2)); err != nil {
		t.Fatal(err)
	}
	var sockets []Socket
	for _, m := range old.Members() {
		fd, err := m.Descriptor().Dup()
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, Socket{m.ID, fd})
	}
	old.Close()
	g, err := Config{Steering: Weighted{}}.Restore(sockets...)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.SetAway(g.Member(5), true); err != nil {
		t.Fatal(err)
	}
	if got := connect(t, g, 60); got[5] != 0 || len(got) != 3 {
		t.Errorf("60 connections, none for 5: %v", got)
	}
	if m, err := g.Join(context.Background()); err != nil || m.ID != 6 {
		t.Errorf("joined %v, %v", m, err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	testleak.FDs(t)
	a, b := socketOf(t, "127.0.0.1:0", shareable), socketOf(t, "127.0.0.1:0", shareable)
	defer a.Close()
	defer b.Close()
	for _, sockets := range [][]Socket{nil, {{1, a}, {2, b}}, {{0, a}, {1, b}}, {{1, a}, {1, a}}} {
		if g, err := (Config{}).Restore(sockets...); err == nil {
			t.Errorf("restored %v from %v", g.Members(), sockets)
		} else {
			t.Log(err)
		}
	}
	for _, fd := range []sock.FD{a, b} {
		if listening, err := sock.AcceptConn.Get(fd); err != nil || !listening {
			t.Errorf("a socket doesn't listen any more: %v", err)
		}
	}
}

// A member that somebody else shut down is named, and can leave.
func TestShutDownByOther(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 3)
	m := g.Member(2)
	if err := shutdown(m.Descriptor()); err != nil {
		t.Fatal(err)
	}
	if err := g.SetAway(g.Member(1), true); !errors.Is(err, unix.EINVAL) {
		t.Errorf("steered with a member that doesn't listen: %v", err)
	}
	if err := g.Leave(m); err != nil {
		t.Fatal(err)
	}
	if err := g.SetAway(g.Member(1), true); err != nil {
		t.Error(err)
	}
	if got := connect(t, g, 20); got[3] != 20 {
		t.Errorf("20 connections, all for 3: %v", got)
	}
}

func TestClosed(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 2)
	m := g.Member(1)
	if _, err := m.Release(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("released: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	_, errJoin := g.Join(context.Background())
	_, errDrain := g.Drain(context.Background(), m, Drain{})
	for _, err := range []error{errJoin, errDrain, g.Close(), g.Leave(m), g.SetSteering(ByCPU{})} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if _, err := g.Outsiders(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
