package watch

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"onconn/cmd/syscallflow/internal/follow"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/testleak"
	"onconn/sock"
)

// listen makes a listener that nobody accepts from yet.
func listen(t *testing.T, backlog int) (fd sock.FD, l follow.Listener) {
	t.Helper()
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	if err := errors.Join(fd.Bind(sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))), fd.Listen(backlog)); err != nil {
		t.Fatal(err)
	}
	a, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := sock.Cookie.Get(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, follow.Listener{Socket: 1, Address: a.String(), Cookie: cookie}
}

// TestWatch: the handshake's packets, and the queue as it grows and shrinks.
func TestWatch(t *testing.T) {
	testleak.FDs(t)
	began := time.Now().UnixNano()
	w := New(func(ns int64) recording.Time { return recording.Time(ns - began) })
	fd, l := listen(t, 5)
	w.Listening(l)
	for want := range 2 {
		c, err := net.Dial("tcp4", l.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		until(t, w, func(d recording.Depth) bool { return d.Queue == want+1 })
	}
	for want := 1; want >= 0; want-- {
		accepted, _, err := fd.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		until(t, w, func(d recording.Depth) bool { return d.Queue == want })
	}
	var r recording.Recording
	r.Sockets = []recording.Socket{{ID: 1, Listens: true, Local: l.Address}}
	w.Finish(&r)
	var queues []int
	for i, d := range r.Depths {
		if d.Limit != 5 || d.Socket != 1 || i > 0 && d.Time < r.Depths[i-1].Time {
			t.Errorf("%+v", d)
		}
		queues = append(queues, d.Queue)
	}
	if !slices.Equal(queues, []int{0, 1, 2, 1, 0}) && !slices.Equal(queues, []int{1, 2, 1, 0}) {
		t.Errorf("queues %v", queues)
	}
	if os.Getuid() != 0 {
		if len(r.Unseen) != 1 {
			t.Errorf("%q", r.Unseen)
		}
		return
	}
	var flags []string
	for _, p := range r.Packets {
		flags = append(flags, p.Flags)
		if p.Socket != 1 || p.Time < 0 || len(p.Raw) < 40 {
			t.Errorf("%+v", p)
		}
	}
	if !slices.Equal(flags, []string{"S", "SA", "A", "S", "SA", "A"}) {
		t.Errorf("packets %q", flags)
	}
}

// until polls for a last depth.
func until(t *testing.T, w *Watcher, holds func(recording.Depth) bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		n := len(w.depths)
		ok := n > 0 && holds(w.depths[n-1])
		w.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the queue was not seen")
		}
	}
}

// TestChanges: what two have seen of one queue is told once.
func TestChanges(t *testing.T) {
	got := changes([]recording.Depth{
		{Time: 3, Socket: 1, Queue: 1, Limit: 5}, {Time: 1, Socket: 1, Limit: 5, Drops: 2}, {Time: 2, Socket: 1, Limit: 5},
		{Time: 4, Socket: 2, Queue: 1, Limit: 5}, {Time: 5, Socket: 1, Queue: 1, Limit: 5, Drops: 3}, {Time: 6, Socket: 1, Queue: 1, Limit: 5, Drops: 3},
	})
	var times []recording.Time
	for _, d := range got {
		times = append(times, d.Time)
	}
	if !slices.Equal(times, []recording.Time{1, 3, 4, 5}) {
		t.Errorf("%v", got)
	}
}

// TestJoin: a client's port that comes again is another connection.
func TestJoin(t *testing.T) {
	server, client := netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("127.0.0.1:5000")
	other := netip.MustParseAddrPort("127.0.0.1:5001")
	packet := func(at recording.Time, from, to netip.AddrPort, flags string, seq uint32) recording.Packet {
		return recording.Packet{Time: at, From: from, To: to, Flags: flags, Seq: seq}
	}
	r := recording.Recording{
		Sockets: []recording.Socket{
			{ID: 1, Listens: true, Local: "0.0.0.0:80"},
			{ID: 2, From: 1, Local: "127.0.0.1:80", Peer: "127.0.0.1:5000"},
			{ID: 3, From: 1, Local: "127.0.0.1:80", Peer: "127.0.0.1:5000"},
			{ID: 4, Local: "127.0.0.1:5000", Peer: "127.0.0.1:80"}, // the client's end
			{ID: 5, Local: "garbage"},
		},
		Packets: []recording.Packet{
			packet(9, client, server, "S", 20), packet(10, server, client, "SA", 1),
			packet(1, client, server, "S", 10), packet(2, client, server, "S", 10), packet(3, server, client, "SA", 1),
			packet(4, client, server, "FA", 11), packet(5, other, server, "S", 1),
		},
	}
	join(&r, map[uint16]bool{80: true})
	var got []recording.SocketID
	for _, p := range r.Packets {
		got = append(got, p.Socket)
	}
	if !slices.Equal(got, []recording.SocketID{2, 2, 2, 2, 1, 3, 3}) {
		t.Errorf("%v", got)
	}
}
