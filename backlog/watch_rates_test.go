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

// TestWatchRates makes connections that end in every way, and some that don't.
func TestWatchRates(t *testing.T) {
	dual := func(fd sock.FD) error { return sock.V6Only.Set(fd, false) }
	none := func(sock.FD) error { return nil }
	for _, tt := range []struct {
		name     string
		addr     sock.Addr
		protocol sock.Protocol
		before   func(sock.FD) error
	}{
		{"tcp4", inet("127.0.0.1:0"), 0, none},
		{"IPv4 to dual stack", inet("[::]:0"), 0, dual},
		{"mptcp", inet("127.0.0.1:0"), sock.MPTCP, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testleak.FDs(t)
			isolated(t, func(*netns.Namespace) { countEnds(t, tt.addr, tt.protocol, tt.before) })
		})
	}
}

func countEnds(t *testing.T, listen sock.Addr, protocol sock.Protocol, before func(sock.FD) error) {
	fd, addr := listening(t, listen, sock.Stream, protocol, 100, before)
	to := sock.IPAddr(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(addr.Port())))
	early := dial(t, to) // exists at the start, and ends later
	want(t, fd, Queue{1, 100})
	w := byHand(t, addr)
	byHandCount(t, w)

	arrived, accepted := 0, 0
	count := func(how string, arrive, accept int) {
		t.Helper()
		arrived += arrive
		accepted += accept
		observedByHand(t, w, how, func(o Observation) bool { return o.Arrived == arrived && o.Accepted == accepted })
		// What is reported late may add to it.
		if o := byHandCount(t, w); o.Arrived != arrived || o.Accepted != accepted {
			t.Fatalf("%s, later: %d arrived, %d accepted, not %d and %d", how, o.Arrived, o.Accepted, arrived, accepted)
		}
	}
	pair := func() (client, server sock.FD) {
		client = dial(t, to)
		connected(t, client)
		return client, accept(t, fd)
	}
	conn := accept(t, fd)
	early.Close()
	conn.Close()
	count("one from before", 0, 1)

	for range 7 {
		client, server := pair()
		client.Close()
		server.Close()
	}
	count("client closes first", 7, 7)
	for range 5 {
		client, server := pair()
		server.Close()
		client.Close()
	}
	count("server closes first", 5, 5)
	for range 4 {
		client, server := pair()
		reset(t, client)
		server.Close()
	}
	count("client resets", 4, 4)
	for range 3 {
		client, server := pair()
		reset(t, server)
		client.Close()
	}
	count("server resets", 3, 3)
	client, server := pair()
	reset(t, client)
	byHandCount(t, w) // neither exists, nor is destroyed
	server.Close()
	count("closed long after a reset", 1, 1)
	for range 6 {
		client, server := pair()
		t.Cleanup(func() { client.Close(); server.Close() })
	}
	count("kept", 6, 6)
	for range 8 {
		connected(t, connecting(t, to))
	}
	count("waiting", 8, 0)
	for range 2 {
		client := dial(t, to)
		connected(t, client)
		client.Close()
	}
	count("waiting, closed by the client", 2, 0)
	for range 10 {
		accept(t, fd).Close()
	}
	count("accepted later", 0, 10)

	o := byHandCount(t, w)
	sum, most := 0, 0
	for _, s := range o.History {
		sum += max(s.Arrived, 0)
		most = max(most, s.Arrived)
	}
	// What a count covers that comes too late is in no second.
	missed := longestGap > time.Second/2
	if sum != o.Arrived && !(missed && sum < o.Arrived) || o.PeakArrived > most {
		t.Errorf("%d arrived, of them %d in the history; busiest second %d, %d in the history",
			o.Arrived, sum, o.PeakArrived, most)
	}
}

// longestGap is the longest time between two counts of the last watcher by hand.
var longestGap time.Duration

// byHand is a Watcher of one listener that samples and counts only when told.
func byHand(t *testing.T, addr sock.Addr) *Watcher {
	t.Helper()
	longestGap = 0
	w := &Watcher{ns: ourNamespace(t), rates: &rates{lost: true}, index: map[uint64]*track{}, config: WatchConfig{
		History: 60,
		Select:  func(l Listener) bool { return l.Addr == addr },
	}}
	var err error
	if w.rates.destroyed, err = openDestroyed(w.ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.rates.destroyed.Close() })
	return w
}

func byHandCount(t *testing.T, w *Watcher) Observation {
	t.Helper()
	if !w.rates.at.IsZero() {
		longestGap = max(longestGap, time.Since(w.rates.at))
	}
	if err := w.count(); err != nil {
		t.Fatal(err)
	}
	return w.tracks[0].observation()
}

// accept waits for a connection. The caller closes it.
func accept(t testing.TB, fd sock.FD) sock.FD {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, _, err := fd.Accept()
		if err == nil {
			return conn
		}
		if !errors.Is(err, unix.EAGAIN) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// reset closes by RST.
func reset(t testing.TB, fd sock.FD) {
	t.Helper()
	if err := errors.Join(sock.Linger.Set(fd, sock.LingerConfig{On: true}), fd.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWatchRatesOfAnotherNamespace(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	byPath := opened(t, ns.Path())
	var byThread *Namespace
	ns.Do(func() { byThread = opened(t, "") })
	for name, n := range map[string]*Namespace{"by path": byPath, "by thread": byThread} {
		var fd sock.FD
		var addr sock.Addr
		ns.Do(func() { fd, addr = listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 100) })
		w := watching(t, n, addr, WatchConfig{Rates: true}) // on a thread of ours
		ns.Do(func() {
			for range 20 {
				client := dial(t, addr)
				accept(t, fd).Close()
				client.Close()
			}
		})
		observed(t, w, name+", counted", func(o Observation) bool { return o.Arrived == 20 && o.Accepted == 20 })
	}
}

// TestWatchRatesOverrun has the kernel report more than the buffer holds.
func TestWatchRatesOverrun(t *testing.T) {
	testleak.FDs(t)
	isolated(t, func(*netns.Namespace) { overrun(t) })
}

func overrun(t *testing.T) {
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 100)
	w := byHand(t, addr)
	buffer := func(size int) {
		if err := unix.SetsockoptInt(w.rates.destroyed.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			t.Fatal(err)
		}
	}
	buffer(1)
	reports, err := openDestroyed(w.ns) // with a buffer that is large enough
	if err != nil {
		t.Fatal(err)
	}
	defer reports.Close()
	heard := 0
	hear := func() {
		_, err := reports.read(func(d destroyedSocket) {
			if d.port == uint16(addr.Port()) {
				heard++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	served := func(n int) {
		for range n {
			client := dial(t, addr)
			accept(t, fd).Close()
			client.Close()
			hear()
		}
	}
	byHandCount(t, w)
	served(200)
	for end := time.Now().Add(10 * time.Second); !w.rates.lost; time.Sleep(time.Millisecond) {
		if err := w.rates.hear(w.index); err != nil || time.Now().After(end) {
			t.Fatalf("nothing was lost, %v", err)
		}
	}
	if o := byHandCount(t, w); o.Arrived != -1 || o.Counted != 0 || o.PeakArrived != -1 {
		t.Errorf("unknown, but %d arrived in %v", o.Arrived, o.Counted)
	}
	buffer(1 << 17)

	// More of it is reported after that, and would count.
	eventually(t, func() error {
		if hear(); heard < 200 {
			return fmt.Errorf("%d reports, not 200", heard)
		}
		return nil
	})
	byHandCount(t, w)
	known := observedByHand(t, w, "known again", func(o Observation) bool { return o.Counted > 0 })
	served(1)
	observedByHand(t, w, "one more", func(o Observation) bool {
		return o.Arrived == known.Arrived+1 && o.Accepted == known.Accepted+1
	})
}

// observedByHand counts until the listener is as wanted.
func observedByHand(t *testing.T, w *Watcher, what string, wanted func(Observation) bool) Observation {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		o := byHandCount(t, w)
		if wanted(o) {
			return o
		}
		if time.Now().After(end) {
			t.Fatalf("not %s: %+v", what, o)
		}
	}
}
