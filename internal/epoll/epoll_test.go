package epoll

import (
	"errors"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func setup(t *testing.T) (p *Poll, a, b sock.FD) {
	t.Helper()
	testleak.FDs(t)
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	a, b, err = sock.Pair(sock.Stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return p, a, b
}

func wait(t *testing.T, p *Poll, timeout time.Duration) []unix.EpollEvent {
	t.Helper()
	events := make([]unix.EpollEvent, 8)
	n, err := p.Wait(events, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return events[:n]
}

func TestAddModDel(t *testing.T) {
	p, a, b := setup(t)
	if err := p.Add(a, unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(a, unix.EPOLLIN); !errors.Is(err, unix.EEXIST) {
		t.Errorf("added twice: %v", err)
	}
	if got := wait(t, p, 0); len(got) != 0 {
		t.Errorf("nothing is ready, yet %+v", got)
	}
	b.Write([]byte("x"))
	if got := wait(t, p, -1); len(got) != 1 || sock.FD(got[0].Fd) != a || got[0].Events != unix.EPOLLIN || got[0].Pad != 0 {
		t.Errorf("readable: %+v", got)
	}
	if err := p.Mod(a, unix.EPOLLOUT); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, p, -1); len(got) != 1 || got[0].Events != unix.EPOLLOUT {
		t.Errorf("writable: %+v", got)
	}
	if err := p.Del(a); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, p, 0); len(got) != 0 {
		t.Errorf("after Del %+v", got)
	}
	if err := p.Del(a); !errors.Is(err, unix.ENOENT) {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestTag(t *testing.T) {
	p, a, _ := setup(t)
	for _, tag := range []int32{1, -1, math.MaxInt32, math.MinInt32} {
		if err := p.AddTag(a, unix.EPOLLOUT, tag); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, p, -1); len(got) != 1 || sock.FD(got[0].Fd) != a || got[0].Pad != tag {
			t.Errorf("tag %d: %+v", tag, got)
		}
		if err := p.ModTag(a, unix.EPOLLOUT, tag/2); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, p, -1); len(got) != 1 || got[0].Pad != tag/2 {
			t.Errorf("tag %d: %+v", tag/2, got)
		}
		p.Del(a)
	}
}

func TestWake(t *testing.T) {
	p, a, _ := setup(t)
	p.Wake() // before Wait
	p.Wake()
	if got := wait(t, p, -1); len(got) != 0 {
		t.Errorf("a wake-up shows as %+v", got)
	}
	if Readable(p.Descriptor()) {
		t.Error("a wake-up outlives Wait")
	}

	// During Wait, with an event beside it.
	p.Add(a, unix.EPOLLOUT)
	p.Wake()
	if got := wait(t, p, -1); len(got) != 1 || sock.FD(got[0].Fd) != a {
		t.Errorf("a wake-up and an event show as %+v", got)
	}
	p.Del(a)
	done := make(chan int)
	go func() {
		n, _ := p.Wait(make([]unix.EpollEvent, 1), -1)
		done <- n
	}()
	p.Wake()
	if n := <-done; n != 0 {
		t.Errorf("woken with %d events", n)
	}
}

func TestWaitTimeout(t *testing.T) {
	p, _, _ := setup(t)
	for _, d := range []time.Duration{1, time.Millisecond, 5*time.Millisecond + 1} {
		start := time.Now()
		wait(t, p, d)
		if took := time.Since(start); took < d {
			t.Errorf("a timeout of %v was over after %v", d, took)
		}
	}
	p.Wake()
	wait(t, p, math.MaxInt64) // mustn't be EINVAL, nor wrap to no time at all
	start := time.Now()
	time.AfterFunc(20*time.Millisecond, p.Wake)
	wait(t, p, math.MaxInt64)
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("the longest timeout was over after %v", took)
	}
}

func TestReadable(t *testing.T) {
	_, a, b := setup(t)
	if Readable(a) {
		t.Error("readable, but nothing was written")
	}
	b.Write([]byte("x"))
	if !Readable(a) {
		t.Error("not readable, but something was written")
	}
}
