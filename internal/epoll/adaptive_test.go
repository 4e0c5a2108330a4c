package epoll

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func adaptive(t *testing.T) (p *Adaptive, a, b sock.FD) {
	t.Helper()
	testleak.FDs(t)
	p, err := NewAdaptive()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	a, b, err = sock.Pair(sock.Stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	if err := p.Add(a, unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	return p, a, b
}

func TestAdaptiveWait(t *testing.T) {
	p, a, b := adaptive(t)
	var events [4]unix.EpollEvent
	for _, blocks := range []bool{false, true} {
		if blocks {
			p.busy.decide(true)
		}
		if p.busy.blocks != blocks {
			t.Fatalf("blocks: %v", !blocks)
		}
		b.Write([]byte("x"))
		n, _, err := p.Wait(events[:])
		if n != 1 || err != nil || sock.FD(events[0].Fd) != a {
			t.Errorf("blocks %v: %d events, %+v, %v", blocks, n, events[0], err)
		}
		var buf [8]byte
		a.Read(buf[:])

		p.Wake() // before Wait
		if n, _, err := p.Wait(events[:]); n != 0 || err != nil {
			t.Errorf("blocks %v, woken: %d events, %v", blocks, n, err)
		}
		slept := make(chan bool)
		go func() { // during Wait
			_, s, err := p.Wait(events[:])
			if err != nil {
				t.Error(err)
			}
			slept <- s
		}()
		time.AfterFunc(10*time.Millisecond, p.Wake)
		if !<-slept {
			t.Errorf("blocks %v: it didn't wait, and nothing was there", blocks)
		}
	}
}

// What is there already isn't waited for, and is told of again until it is taken.
func TestAdaptiveSlept(t *testing.T) {
	p, a, b := adaptive(t)
	var events [4]unix.EpollEvent
	b.Write([]byte("x"))
	for range 2 {
		if n, slept, err := p.Wait(events[:]); n != 1 || slept || err != nil {
			t.Errorf("%d events, slept: %v, %v", n, slept, err)
		}
	}
	var buf [8]byte
	a.Read(buf[:])
}

// TestAdaptiveBusy: when other goroutines have all of the CPUs it leaves the
// runtime's poller, and comes back when they are gone.
func TestAdaptiveBusy(t *testing.T) {
	p, a, b := adaptive(t)
	var blocks, over, burn atomic.Bool
	served := make(chan struct{})
	go func() {
		defer close(served)
		var events [4]unix.EpollEvent
		for !over.Load() {
			n, _, err := p.Wait(events[:])
			if err != nil {
				t.Error(err)
				return
			}
			for range n {
				var buf [8]byte
				a.Read(buf[:])
			}
			blocks.Store(p.busy.blocks)
		}
	}()
	until := func(what string, want bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); blocks.Load() != want; {
			if time.Now().After(end) {
				t.Fatalf("after a minute it still isn't so: %s", what)
			}
			b.Write([]byte("x"))
			time.Sleep(time.Millisecond) // that an event comes to one who waits
		}
	}
	burn.Store(true)
	for range 2 * runtime.GOMAXPROCS(0) {
		go func() {
			for burn.Load() {
			}
		}()
	}
	until("busy, it waits in epoll_wait", true)
	burn.Store(false)
	until("quiet, it waits in the runtime's poller", false)
	over.Store(true)
	p.Wake()
	<-served
}

// TestSaturation: one reason to block is enough, and a few looks without one are
// not enough to park again.
func TestSaturation(t *testing.T) {
	var s saturation
	for round := range 2 {
		s.decide(false)
		if s.blocks {
			t.Fatalf("round %d: it blocks without a reason", round)
		}
		s.decide(true)
		for range calmLooks - 1 {
			s.decide(false)
		}
		s.decide(true) // begins anew
		for range calmLooks - 1 {
			s.decide(false)
			if !s.blocks {
				t.Fatalf("round %d: it parks too soon", round)
			}
		}
		s.decide(false)
	}
}

// TestSaturated: what the runtime says of goroutines that run and could run.
func TestSaturated(t *testing.T) {
	s := newSaturation()
	for _, procs := range []int{1, 2, 4} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		until := func(want bool) {
			t.Helper()
			for end := time.Now().Add(time.Minute); s.saturated() != want; runtime.Gosched() {
				if time.Now().After(end) {
					t.Fatalf("GOMAXPROCS %d: saturated is never %v: %d running, %d runnable", procs, want,
						s.samples[0].Value.Uint64(), s.samples[1].Value.Uint64())
				}
			}
		}
		until(false)
		var burn atomic.Bool
		var ended sync.WaitGroup
		burn.Store(true)
		for range procs { // and this goroutine
			ended.Go(func() {
				for burn.Load() {
				}
			})
		}
		until(true)
		burn.Store(false)
		ended.Wait()
	}
}

func TestLookAllocates(t *testing.T) {
	s := newSaturation()
	s.saturated() // the runtime makes its table at the first time
	if n := testing.AllocsPerRun(100, func() { s.saturated() }); n != 0 {
		t.Errorf("a look costs %v allocations", n)
	}
}

func BenchmarkLook(b *testing.B) {
	s := newSaturation()
	b.ReportAllocs()
	for b.Loop() {
		s.saturated()
	}
}
