package accept

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

func TestFamilies(t *testing.T) {
	for name, s := range map[string]struct {
		family sock.Family
		typ    sock.Type
	}{
		"tcp4":       {sock.Inet, sock.Stream},
		"tcp6":       {sock.Inet6, sock.Stream},
		"unix":       {sock.Unix, sock.Stream},
		"unixpacket": {sock.Unix, sock.SeqPacket},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, Options{})
			ln := listener(t, s.family, s.typ, 128)
			peers := make(chan sock.Addr, 1)
			_, err := l.Add(ln, func(fd sock.FD, peer sock.Addr) {
				peers <- peer
				answer(fd, peer)
			})
			check(t, err)
			run(t, l)
			for range 3 {
				c := dial(t, ln)
				wantServed(t, c)
				if got, want := <-peers, sock.FromNetAddr(c.LocalAddr()); got != want {
					t.Errorf("peer %v, want %v", got, want)
				}
			}
		})
	}
}

func TestAddErrors(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	if _, err := l.Add(nil, answer); err == nil {
		t.Error("no source is fine")
	}
	if _, err := l.Add(ln, nil); err == nil {
		t.Error("no callback is fine")
	}
	if _, err := l.Add(sock.None, answer); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: %v", err)
	}
	check(t, unix.SetNonblock(int(ln), false))
	if _, err := l.Add(ln, answer); err == nil {
		t.Error("a blocking socket is fine")
	}
	check(t, unix.SetNonblock(int(ln), true))
	ls, err := l.Add(ln, answer)
	check(t, err)
	if _, err := l.Add(ln, answer); !errors.Is(err, unix.EEXIST) {
		t.Errorf("added twice: %v", err)
	}
	if ls.Source() != ln {
		t.Errorf("Source is %v, want %v", ls.Source(), ln)
	}
	if _, err := New(Options{Burst: -1}); err == nil {
		t.Error("a negative burst is fine")
	}
}

// TestBurst: a busy listener leaves the other its turn after each burst, and the
// hook is called once a burst.
func TestBurst(t *testing.T) {
	l := newLoop(t, Options{Burst: 4})
	var order []int
	bursts := map[int][]int{} // lengths
	done := make(chan struct{})
	for i, backlog := range []int{100, 60} {
		ln := listener(t, sock.Unix, sock.Stream, backlog)
		for range backlog {
			dial(t, ln)
		}
		n := 0
		_, err := l.Add(ln, func(fd sock.FD, _ sock.Addr) {
			fd.Close()
			n++
			order = append(order, i)
			if len(order) == 160 {
				close(done)
			}
		}, AfterBurst(func() {
			bursts[i] = append(bursts[i], n)
			n = 0
		}))
		check(t, err)
	}
	stop := run(t, l)
	<-done
	stop()

	var counts [2]int
	for _, i := range order[:120] {
		counts[i]++
		if d := counts[0] - counts[1]; d < -4 || d > 4 {
			t.Fatalf("after %d connections one listener is %d ahead: %v", counts[0]+counts[1], d, order)
		}
	}
	for i, want := range []int{25, 15} {
		if len(bursts[i]) != want {
			t.Errorf("listener %d: bursts of %d, want %d of 4", i, bursts[i], want)
		}
		for _, n := range bursts[i] {
			if n != 4 {
				t.Errorf("listener %d: bursts of %d, want all of 4", i, bursts[i])
				break
			}
		}
	}
}

func TestPauseInCallback(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	clients := []net.Conn{dial(t, ln), dial(t, ln)}
	paused := make(chan struct{}, len(clients))
	var ls *Listener
	ls, err := l.Add(ln, func(fd sock.FD, peer sock.Addr) {
		ls.Pause()
		answer(fd, peer)
		paused <- struct{}{}
	})
	check(t, err)
	run(t, l)
	for i, c := range clients {
		wantServed(t, c)
		<-paused
		settled(l)
		if n := l.Stats().Accepted; int(n) != i+1 {
			t.Errorf("accepted %d, want one for each Resume: %d", n, i+1)
		}
		ls.Resume()
	}
}

// settled returns when the loop has been through a whole turn.
func settled(l *Loop) {
	for range 2 {
		done := make(chan struct{})
		l.Post(func() { close(done) })
		<-done
	}
}

func TestRemoveInCallback(t *testing.T) {
	l := newLoop(t, Options{})
	ln, err := tcp(t).Dup() // which the callback closes
	check(t, err)
	clients := []net.Conn{dial(t, ln), dial(t, ln)}
	var ls *Listener
	flushed := make(chan struct{}, 2)
	ls, err = l.Add(ln, func(fd sock.FD, peer sock.Addr) {
		ls.Remove()
		ls.Remove()
		ln.Close()
		answer(fd, peer)
	}, AfterBurst(func() { flushed <- struct{}{} }))
	check(t, err)
	run(t, l)
	wantServed(t, clients[0])
	<-flushed
	settled(l)
	ls.Resume() // does nothing any more
	settled(l)
	if n := l.Stats().Accepted; n != 1 {
		t.Errorf("accepted %d after Remove", n-1)
	}
}

// TestRemoveOther: a callback may remove a listener whose event is in the same
// batch, and close its descriptor.
func TestRemoveOther(t *testing.T) {
	l := newLoop(t, Options{})
	var called atomic.Int32
	var both [2]*Listener
	var lns [2]sock.FD
	for i := range both {
		ln, err := listener(t, sock.Unix, sock.Stream, 8).Dup()
		check(t, err)
		defer ln.Close()
		lns[i] = ln
		dial(t, ln)
		both[i], err = l.Add(ln, func(fd sock.FD, _ sock.Addr) {
			fd.Close()
			called.Add(1)
			both[1-i].Remove()
		})
		check(t, err)
	}
	run(t, l)
	eventually(t, "one is called", func() bool { return called.Load() > 0 })
	settled(l)
	if n := called.Load(); n != 1 {
		t.Errorf("%d were called; the first was to remove the second", n)
	}
}

// TestRemoveWaits: on another goroutine Remove returns when the callback has.
func TestRemoveWaits(t *testing.T) {
	l := newLoop(t, Options{})
	run(t, l)
	for range 50 {
		ln := listener(t, sock.Unix, sock.Stream, 8)
		var running atomic.Bool
		entered := make(chan struct{}, 8)
		ls, err := l.Add(ln, func(fd sock.FD, _ sock.Addr) {
			running.Store(true)
			entered <- struct{}{}
			fd.Close()
			linger()
			running.Store(false)
		})
		check(t, err)
		for range 4 {
			dial(t, ln)
		}
		<-entered
		ls.Remove()
		if running.Load() {
			t.Fatal("the callback runs after Remove")
		}
	}
}

// linger takes long enough for Remove to come too soon, if it doesn't wait.
func linger() {
	for range 200 {
		unix.Getpid()
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestControlUnderLoad pauses, resumes, adds and removes from several goroutines
// while clients come.
func TestControlUnderLoad(t *testing.T) {
	l := newLoop(t, Options{Burst: 3})
	run(t, l)
	ln := tcp(t)
	ls, err := l.Add(ln, answer)
	check(t, err)
	others := tcp(t)

	stop := make(chan struct{})
	var working sync.WaitGroup
	pace := func() { time.Sleep(100 * time.Microsecond) } // or the loop has no CPU left
	working.Go(func() {
		for !closed(stop) {
			ls.Pause()
			pace()
			ls.Resume()
			pace()
		}
	})
	working.Go(func() {
		for !closed(stop) {
			fd, err := others.Dup()
			if err != nil {
				t.Error(err)
				return
			}
			var gone atomic.Bool
			ls, err := l.Add(fd, func(fd sock.FD, peer sock.Addr) {
				if gone.Load() {
					t.Error("called after Remove")
				}
				answer(fd, peer)
			}, Shared())
			if err != nil {
				t.Error(err)
				return
			}
			pace()
			ls.Pause()
			ls.Resume()
			pace()
			ls.Remove()
			gone.Store(true)
			fd.Close()
		}
	})
	for range 300 {
		a, b := dial(t, ln), dial(t, others)
		wantServed(t, a)
		wantServed(t, b)
		a.Close()
		b.Close()
	}
	close(stop)
	working.Wait()
	if n := l.Stats().Accepted; n != 600 {
		t.Errorf("accepted %d of 600", n)
	}
}

// A source that is added paused yields nothing before Resume.
func TestAddPaused(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	c := dial(t, ln)
	ls, err := l.Add(ln, answer, Paused())
	check(t, err)
	run(t, l)
	other := tcp(t)
	_, err = l.Add(other, answer)
	check(t, err)
	wantServed(t, dial(t, other)) // the loop has been round
	if s := l.Stats(); s.Accepted != 1 {
		t.Errorf("it accepted %d", s.Accepted)
	}
	ls.Resume()
	wantServed(t, c)
}
