package backlog

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

// deaf has a socket throw away all that it receives, until [hearing].
func deaf(fd sock.FD) error {
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	return unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
}

func hearing(t *testing.T, fd sock.FD) {
	t.Helper()
	if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		t.Fatal(err)
	}
}

func TestHalfOpen(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	n := opened(t, ns.Path())
	ns.Do(func() {
		for _, addr := range []string{"127.0.0.1:80", "[::1]:81"} {
			_, a := listening(t, inet(addr), sock.Stream, 0, 7)
			halfOpen(t, n, a, a)
		}
		dual := func(fd sock.FD) error { return sock.V6Only.Set(fd, false) }
		_, a := listening(t, inet("[::]:82"), sock.Stream, 0, 7, dual)
		halfOpen(t, n, inet("127.0.0.1:82"), a)

		all, err := n.HalfOpen(0)
		if err != nil || len(all) != 3 {
			t.Errorf("of all ports: %v, %v", all, err)
		}
		for i := range all {
			if i > 0 && all[i].Age > all[i-1].Age {
				t.Errorf("%d is older than %d: %v", i, i-1, all)
			}
		}
		if all, err := n.Waiting(0); err != nil || len(all) != 0 {
			t.Errorf("waiting %v, %v", all, err)
		}
	})
}

// halfOpen has one client never hear of its handshake.
func halfOpen(t *testing.T, n *Namespace, to, listener sock.Addr) {
	t.Helper()
	before := time.Now()
	c := connect(t, to, deaf)
	after := time.Now()
	client, err := c.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	youngest := time.Since(after)
	all, err := n.HalfOpen(uint16(listener.Port()))
	oldest := time.Since(before)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	h := all[0]
	if h.Local != to.AddrPort() || h.Remote != client.AddrPort() {
		t.Errorf("%v, not %v %v", h, to, client)
	}
	// Once the client repeats its SYN, the kernel's timers don't tell the age.
	const slack = 50 * time.Millisecond
	if h.Retransmitted == 0 && (h.Age < youngest-slack || h.Age > oldest+slack) {
		t.Errorf("age %v, not %v to %v", h.Age, youngest, oldest)
	}
	if none, err := n.HalfOpen(9); err != nil || len(none) != 0 {
		t.Errorf("of another port: %v, %v", none, err)
	}
}

// A final ACK that finds the queue full leaves the handshake half open, though
// the client is connected.
func TestHalfOpenRefused(t *testing.T) {
	testleak.FDs(t)
	n := opened(t, "")
	_, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 0)
	late := connect(t, addr, deaf)
	connect(t, addr)
	eventually(t, func() error { return depth(n, addr, 1) })
	hearing(t, late)
	eventually(t, func() error {
		l, err := n.Lookup(addr.AddrPort(), 0)
		if err != nil || l.Drops < 2 {
			return fmt.Errorf("drops %d, %v", l.Drops, err)
		}
		return nil
	})
	if _, err := late.Getpeername(); err != nil {
		t.Errorf("the client isn't connected: %v", err)
	}
	all, err := n.HalfOpen(uint16(addr.Port()))
	if err != nil || len(all) != 1 || all[0].Age < time.Second-50*time.Millisecond || all[0].Retransmitted == 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// A client that says nothing keeps its handshake half open with TCP_DEFER_ACCEPT,
// though it has sent the final ACK.
func TestHalfOpenDeferred(t *testing.T) {
	testleak.FDs(t)
	n := opened(t, "")
	deferred := func(fd sock.FD) error { return sock.DeferAccept.Set(fd, 10*time.Second) }
	_, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 7, deferred)
	connected(t, connect(t, addr))
	all, err := n.HalfOpen(uint16(addr.Port()))
	if err != nil || len(all) != 1 || all[0].Retransmitted != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if err := depth(n, addr, 0); err != nil {
		t.Error(err)
	}
}

func depth(n *Namespace, addr sock.Addr, want int) error {
	l, err := n.Lookup(addr.AddrPort(), 0)
	if err == nil && l.Depth != want {
		err = fmt.Errorf("depth %d, not %d", l.Depth, want)
	}
	return err
}

func TestHandshakeAge(t *testing.T) {
	for _, tt := range []struct {
		retransmitted uint8
		expires, age  time.Duration
	}{
		{0, time.Second, 0},
		{0, 0, time.Second},
		{0, 1010 * time.Millisecond, 0},
		{1, 1500 * time.Millisecond, 1500 * time.Millisecond},
		{5, 0, 63 * time.Second},
		{7, 20 * time.Second, 127*time.Second + 100*time.Second},
		{255, 0, 127*time.Second + 249*120*time.Second},
	} {
		if age := handshakeAge(tt.retransmitted, tt.expires); age != tt.age {
			t.Errorf("%d times, %v left: %v, not %v", tt.retransmitted, tt.expires, age, tt.age)
		}
	}
}

func TestWaiting(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	n := opened(t, ns.Path())
	dual := func(fd sock.FD) error { return sock.V6Only.Set(fd, false) }
	for _, tt := range []struct {
		name, listen, to string
		protocol         sock.Protocol
		before           []func(sock.FD) error
	}{
		{"tcp4", "127.0.0.1:80", "127.0.0.1:80", 0, nil},
		{"tcp6", "[::1]:80", "[::1]:80", 0, nil},
		{"dual stack", "[::]:80", "127.0.0.1:80", 0, []func(sock.FD) error{dual}},
		{"mptcp", "127.0.0.1:80", "127.0.0.1:80", sock.MPTCP, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns.Do(func() {
				fd, _ := listening(t, inet(tt.listen), sock.Stream, tt.protocol, 7, tt.before...)
				waiting(t, n, fd, inet(tt.to), tt.protocol)
			})
		})
	}
}

func waiting(t *testing.T, n *Namespace, fd sock.FD, to sock.Addr, p sock.Protocol) {
	t.Helper()
	accepted := connectType(t, to, sock.Stream, p)
	eventually(t, func() error { return depth(n, to, 1) })
	conn, _, err := fd.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted.Write([]byte("not counted"))

	before := time.Now()
	old := connectType(t, to, sock.Stream, p)
	eventually(t, func() error { return depth(n, to, 1) })
	after := time.Now()
	if _, err := old.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	for time.Since(after) < 100*time.Millisecond { // ages differ by more than a tick
		time.Sleep(10 * time.Millisecond)
	}
	young := connectType(t, to, sock.Stream, p)
	eventually(t, func() error { return depth(n, to, 2) })
	if _, err := young.Write([]byte("bye")); err != nil {
		t.Fatal(err)
	}
	if err := young.Shutdown(unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	bytes := [2]int{1000, 3}
	if p == sock.MPTCP {
		bytes = [2]int{}
	}
	eventually(t, func() error {
		youngest := time.Since(after)
		all, err := n.Waiting(80)
		oldest := time.Since(before)
		if err != nil || len(all) != 2 {
			return fmt.Errorf("%v, %v", all, err)
		}
		const slack = 20 * time.Millisecond
		if age := all[0].Age; age < youngest-slack || age > oldest+slack {
			return fmt.Errorf("age %v, not %v to %v", age, youngest, oldest)
		}
		for i, want := range []Waiting{
			{Local: to.AddrPort(), Remote: name(t, old), Bytes: bytes[0], Age: all[0].Age},
			{Local: to.AddrPort(), Remote: name(t, young), Bytes: bytes[1], Closed: p != sock.MPTCP, Age: all[1].Age},
		} {
			if all[i] != want {
				return fmt.Errorf("%+v, not %+v", all[i], want)
			}
		}
		return nil
	})
	if none, err := n.Waiting(9); err != nil || len(none) != 0 {
		t.Errorf("of another port: %v, %v", none, err)
	}
	if all, err := n.Waiting(0); err != nil || len(all) != 2 {
		t.Errorf("of all ports: %v, %v", all, err)
	}
}

func name(t *testing.T, fd sock.FD) netip.AddrPort {
	t.Helper()
	a, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	return a.AddrPort()
}

func TestConnections(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	n := opened(t, ns.Path())
	ns.Do(func() {
		fd, addr := listening(t, inet("127.0.0.1:80"), sock.Stream, 0, 20)
		count := func(server, clients int) func() error {
			return func() error {
				c, err := n.Connections()
				others := 0
				for port, k := range c {
					if port != 80 {
						others += k
					}
				}
				if err != nil || c[80] != server || others != clients {
					return fmt.Errorf("%d at the server, %d clients, %v; not %d, %d", c[80], others, err, server, clients)
				}
				return nil
			}
		}
		var clients []sock.FD
		for range 10 {
			c, err := sock.Socket(sock.Inet, sock.Stream, 0)
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
			if err := c.Connect(addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
				t.Fatal(err)
			}
		}
		eventually(t, count(10, 10))
		for range 3 { // who closes first leaves a note, TIME_WAIT
			conn, peer, err := fd.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			for i, c := range clients {
				if a, err := c.Getsockname(); err == nil && a == peer {
					c.Close()
					clients = append(clients[:i], clients[i+1:]...)
					break
				}
			}
		}
		eventually(t, count(7, 7))
		// The clients' FIN_WAIT2, without a socket, is such a note too.
		for _, c := range clients {
			c.Close()
		}
		eventually(t, count(7, 0))
		if all, err := n.Waiting(80); err != nil || len(all) != 7 || !all[0].Closed || all[0].Bytes != 0 {
			t.Errorf("waiting %+v, %v", all, err)
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	n := opened(b, "")
	for name, f := range map[string]func() error{
		"HalfOpen":    func() error { _, err := n.HalfOpen(0); return err },
		"Waiting":     func() error { _, err := n.Waiting(0); return err },
		"Connections": func() error { _, err := n.Connections(); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
