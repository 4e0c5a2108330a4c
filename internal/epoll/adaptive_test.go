package epoll

import (
	"runtime"
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
			p.late.judge(tooLate)
		}
		if p.late.blocks() != blocks {
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
			blocks.Store(!p.late.until.IsZero())
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

func TestLateness(t *testing.T) {
	var l lateness
	for _, step := range []struct {
		late, rest time.Duration
	}{
		{0, 0}, {tooLate, firstRest}, {tooLate, 2 * firstRest}, {tooLate - 1, 0}, {time.Hour, firstRest},
	} {
		l.judge(step.late)
		if l.rest != step.rest {
			t.Errorf("%v late: a rest of %v, want %v", step.late, l.rest, step.rest)
		}
	}
	for range 10 {
		l.judge(tooLate)
	}
	if l.rest != lastRest {
		t.Errorf("a rest of %v", l.rest)
	}
}
