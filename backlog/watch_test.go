package backlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

// watching watches one listener, until the test ends.
func watching(t testing.TB, n *Namespace, addr sock.Addr, c WatchConfig) *Watcher {
	t.Helper()
	c.Select = func(l Listener) bool { return l.Addr == addr }
	w, err := Watch(n, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Err(), w.Close()); err != nil {
			t.Errorf("Watcher: %v", err)
		}
	})
	return w
}

func ourNamespace(t testing.TB) *Namespace {
	t.Helper()
	n, err := OpenNamespace("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// isolated calls f on a thread in a network namespace whose only sockets are the
// test's. The kernel reports every socket of a namespace that is destroyed, and
// those of a busy machine overrun the buffer, large as it is.
func isolated(t testing.TB, f func(*netns.Namespace)) {
	t.Helper()
	ns := netns.New(t)
	ns.Do(func() { f(ns) })
}

// observed waits until the only listener that is watched is as wanted.
func observed(t testing.TB, w *Watcher, what string, wanted func(Observation) bool) Observation {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		all := w.Observations()
		if len(all) == 1 && wanted(all[0]) {
			return all[0]
		}
		if time.Now().After(end) {
			t.Fatalf("not %s: %+v, %v", what, all, w.Err())
		}
	}
}

func TestWatchFull(t *testing.T) {
	testleak.FDs(t)
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 4)
	w := watching(t, ourNamespace(t), addr, WatchConfig{})
	for range 5 {
		connected(t, connecting(t, addr))
	}
	observed(t, w, "full", func(o Observation) bool { return o.Depth == 5 })
	for range 3 {
		connecting(t, addr)
	}
	o := observed(t, w, "dropping", func(o Observation) bool { return o.Dropped >= 3 && o.Stalls > 0 })
	if o.Peak != 5 || o.Fulls != 1 || o.Stalls != 1 || o.Gone {
		t.Errorf("full: %+v", o)
	}
	full := o.Until.Sub(o.PeakAt)
	if o.Full < full || o.Full > o.Until.Sub(o.Since) || o.Stall < full || o.Stall > o.Until.Sub(o.Since) {
		t.Errorf("full for %v or longer: full %v, stall %v of %v", full, o.Full, o.Stall, o.Until.Sub(o.Since))
	}
	if o.Arrived != -1 || o.Accepted != -1 || o.PeakArrived != -1 || o.Counted != 0 {
		t.Errorf("without Rates: %+v", o)
	}
	sum := Second{}
	for _, s := range o.History {
		sum.Max = max(sum.Max, s.Max)
		sum.Full += s.Full
		sum.Dropped += s.Dropped
		if s.Arrived != -1 || s.Accepted != -1 {
			t.Errorf("without Rates: %+v", s)
		}
	}
	if sum != (Second{Max: 5, Full: o.Full, Dropped: o.Dropped}) {
		t.Errorf("history %+v of %+v", sum, o)
	}

	if err := fd.Listen(100); err != nil {
		t.Fatal(err)
	}
	o = observed(t, w, "larger", func(o Observation) bool { return o.Limit == 100 })
	w.Reset()
	r := observed(t, w, "reset", func(o Observation) bool { return o.Samples > 1 })
	if r.Full != 0 || r.Fulls != 0 || r.Dropped != 0 || r.Peak < 5 || r.Since.Before(o.Until) || len(r.History) < len(o.History) {
		t.Errorf("after Reset: %+v", r)
	}
}

func TestWatchGone(t *testing.T) {
	testleak.FDs(t)
	n := ourNamespace(t)
	fd, addr := openListener(t, inet("127.0.0.1:0"))
	w := watching(t, n, addr, WatchConfig{})
	fd.Close()
	before := observed(t, w, "gone", func(o Observation) bool { return o.Gone })

	listening(t, addr, sock.Stream, 0, 9)
	for end := time.Now().Add(20 * time.Second); len(w.Observations()) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new listener isn't seen")
		}
	}
	all := w.Observations()
	if !all[0].Gone || all[0].Cookie != before.Cookie || all[1].Gone || all[1].Limit != 9 || all[1].Cookie == before.Cookie {
		t.Errorf("%+v", all)
	}
	w.Reset()
	observed(t, w, "forgotten", func(o Observation) bool { return !o.Gone && o.Limit == 9 })
}

func TestWatchUnix(t *testing.T) {
	testleak.FDs(t)
	_, addr := listening(t, sock.UnixAddr(""), sock.Stream, 0, 2)
	w := watching(t, ourNamespace(t), addr, WatchConfig{Unix: true, Rates: true})
	for range 3 {
		connecting(t, addr)
	}
	o := observed(t, w, "full", func(o Observation) bool { return o.Full > 0 })
	if o.Peak != 3 || o.Arrived != -1 || o.PeakArrived != -1 {
		t.Errorf("%+v", o)
	}
}

func TestWatchRefuses(t *testing.T) {
	testleak.FDs(t)
	n := ourNamespace(t)
	for _, c := range []WatchConfig{{Interval: -1}, {History: -1}} {
		if _, err := Watch(n, c); err == nil || !strings.Contains(err.Error(), "-1") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	n.Close()
	if _, err := Watch(n, WatchConfig{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a namespace that is closed: %v", err)
	}
}

func TestWatchNamespaceClosed(t *testing.T) {
	testleak.FDs(t)
	n := ourNamespace(t)
	w, err := Watch(n, WatchConfig{Rates: true})
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	for end := time.Now().Add(20 * time.Second); w.Err() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it goes on without a namespace")
		}
	}
	if !errors.Is(w.Err(), os.ErrClosed) {
		t.Errorf("Err: %v", w.Err())
	}
	w.Observations()
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Errorf("Close: %v", err)
	}
	w.Observations()
}

// TestWatchMeetsStalls has a server that doesn't accept for 80 ms at a time,
// while about 1,500 clients come per second.
func TestWatchMeetsStalls(t *testing.T) {
	testleak.FDs(t)
	isolated(t, func(ns *netns.Namespace) { watchStalls(t, ns) })
}

func watchStalls(t *testing.T, ns *netns.Namespace) {
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 4096)
	w := watching(t, ourNamespace(t), addr, WatchConfig{Rates: true})
	arrived := come(t, ns, addr, 3, 500)

	last := func() (at time.Time, samples int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.tracks[0].o.Until, w.tracks[0].o.Samples
	}
	// Nothing leaves the queue while the server stalls, so a sample near the end
	// of a stall has seen what was there before. On a busy machine none may be.
	peak, stalls, truth := 0, 0, 0
	for seen, n := 0, 0; n < 15 || seen < 5; n++ {
		if n == 150 {
			t.Fatalf("%d of %d stalls were sampled near their end", seen, n)
		}
		stalled := time.Now()
		_, before := last()
		time.Sleep(60 * time.Millisecond)
		q, err := Of(fd)
		if err != nil {
			t.Fatal(err)
		}
		late := time.Now()
		time.Sleep(20 * time.Millisecond)
		at, after := last()
		if at.After(late) {
			peak = max(peak, q.Depth)
			seen++
		}
		if after-before >= 7 { // one may find an empty queue, and one the depth to start from
			stalls++
		}
		if q, err = Of(fd); err != nil {
			t.Fatal(err)
		}
		truth = max(truth, q.Depth)
		for time.Since(stalled) < 200*time.Millisecond {
			if drain(fd) == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	o := w.Observations()[0]
	t.Logf("peak %d, in truth %d (%d %%), %d stalls of %d, the longest %v, %d samples",
		o.Peak, truth, 100*o.Peak/truth, o.Stalls, stalls, o.Stall, o.Samples)
	// What comes in the last few ms of a stall may be missed; on a busy machine
	// clients come in bursts, and samples late.
	most := o.Peak
	for rounds := 0; most*100 < truth*85; rounds++ {
		if rounds == 20 {
			t.Fatalf("peak %d, in truth %d", most, truth)
		}
		drain(fd)
		w := watching(t, ourNamespace(t), addr, WatchConfig{})
		time.Sleep(80 * time.Millisecond)
		q, err := Of(fd)
		if err != nil {
			t.Fatal(err)
		}
		most, truth = w.Observations()[0].Peak, q.Depth
	}
	if o.Peak < peak || o.Stalls < stalls {
		t.Errorf("peak %d of %d, %d stalls of %d", o.Peak, peak, o.Stalls, stalls)
	}
	n := arrived()
	drain(fd)
	observed(t, w, fmt.Sprint(n, " counted"), func(o Observation) bool { return o.Arrived == n && o.Accepted == n })
}

// drain accepts and closes what waits.
func drain(fd sock.FD) (n int) {
	for {
		conn, _, err := fd.Accept()
		if err != nil {
			return n
		}
		conn.Close()
		n++
	}
}

// come has clients connect and close, each so many times per second. The result
// ends that and says how many came.
func come(t *testing.T, ns *netns.Namespace, to sock.Addr, clients, perSecond int) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	came := make(chan int, clients)
	for range clients {
		go ns.Do(func() {
			n := 0
			for due := time.Now(); ctx.Err() == nil; n++ {
				fd, err := sock.Socket(to.Family(), sock.Stream, 0)
				if err != nil {
					t.Error(err)
					break
				}
				fd.Connect(to)
				// One that is closed earlier doesn't arrive.
				for err := error(unix.EINTR); err == unix.EINTR; {
					_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 10_000)
				}
				fd.Close()
				due = due.Add(time.Second / time.Duration(perSecond))
				time.Sleep(time.Until(due))
			}
			came <- n
		})
	}
	return func() (sum int) {
		cancel()
		for range clients {
			sum += <-came
		}
		return sum
	}
}

// A few that are chosen among thousands are read one by one, but a new one is
// noticed.
func TestWatchFewOfMany(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	n := opened(t, ns.Path())
	manyListening(t, ns, 1000)
	var addr sock.Addr
	ns.Do(func() { _, addr = listening(t, inet("127.0.0.1:2001"), sock.Stream, 0, 5) })
	w, err := Watch(n, WatchConfig{Select: func(l Listener) bool { return l.Addr.Port() > 2000 }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ns.Do(func() { connect(t, addr) })
	eventually(t, func() error {
		if o := w.Observations(); len(o) != 1 || o[0].Depth != 1 {
			return fmt.Errorf("no connection: %+v", o)
		}
		return nil
	})
	ns.Do(func() { listening(t, inet("127.0.0.1:2002"), sock.Stream, 0, 5) })
	eventually(t, func() error {
		if o := w.Observations(); len(o) != 2 {
			return fmt.Errorf("no new one: %+v", o)
		}
		return nil
	})
	w.mu.Lock()
	w.listedAt = time.Now()
	all, err := w.listeners()
	w.mu.Unlock()
	if err != nil || len(all) != 2 {
		t.Errorf("%d listeners were read, %v", len(all), err)
	}
}
