package accept

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onconn/sock"
)

func TestPost(t *testing.T) {
	l := newLoop(t, Options{})
	var got []int // of the loop's goroutine: the race detector watches
	l.Post(func() {
		got = append(got, 0)
		l.Post(func() { got = append(got, 1) }) // from inside
	})
	run(t, l)
	settled(l)

	var posting sync.WaitGroup
	for range 4 {
		posting.Go(func() {
			for range 500 {
				l.Post(func() { got = append(got, len(got)) })
			}
		})
	}
	posting.Wait()
	settled(l)
	done := make(chan struct{})
	l.Post(func() {
		defer close(done)
		if len(got) != 2002 {
			t.Errorf("%d of 2002 functions were called", len(got))
		}
		for i, n := range got {
			if i != n {
				t.Errorf("place %d holds %d", i, n)
				return
			}
		}
	})
	<-done
}

func TestRunEnds(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	_, err := l.Add(ln, answer)
	check(t, err)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	check(t, l.Run(ended))

	for range 3 { // it can run again
		stop := run(t, l)
		wantServed(t, dial(t, ln))
		if err := l.Run(context.Background()); err == nil {
			t.Error("it ran twice at a time")
		}
		if err := l.Close(); err == nil {
			t.Error("it was closed while it ran")
		}
		stop()
	}
	check(t, l.Close())
	check(t, l.Close())
	if err := l.Run(context.Background()); err == nil {
		t.Error("it ran after Close")
	}
	if _, err := l.Add(ln, answer); err == nil {
		t.Error("a source was added after Close")
	}
	l.Post(func() { t.Error("called after Close") })
}

// TestStopUnderLoad: with all CPUs busy the loop serves and stops all the same.
func TestStopUnderLoad(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	_, err := l.Add(ln, answer)
	check(t, err)
	stop := run(t, l)

	var quit atomic.Bool
	var busy sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for n := 0; !quit.Load(); n++ {
			}
		})
	}
	defer busy.Wait()
	defer quit.Store(true)

	start := time.Now()
	wantServed(t, dial(t, ln))
	t.Logf("served in %v", time.Since(start))
	start = time.Now()
	stop() // fails the test after patience
	t.Logf("stopped in %v", time.Since(start))
}

// TestPanic: a callback's panic reaches Run's caller, who may go on.
func TestPanic(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	first := true
	ls, err := l.Add(ln, func(fd sock.FD, peer sock.Addr) {
		answer(fd, peer)
		if first {
			first = false
			panic("of a callback")
		}
	})
	check(t, err)
	dial(t, ln)
	func() {
		defer func() {
			if r := recover(); r != "of a callback" {
				t.Errorf("recovered %v", r)
			}
		}()
		l.Run(context.Background())
	}()
	run(t, l)
	wantServed(t, dial(t, ln))
	ls.Remove() // no lock was left behind
}

func TestNoAllocations(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	closed := make(chan struct{})
	_, err := l.Add(ln, func(fd sock.FD, _ sock.Addr) {
		fd.Close()
		closed <- struct{}{}
	}, Shared(), AfterBurst(func() {}))
	check(t, err)
	run(t, l)
	c := newClient(t, ln)
	n := testing.AllocsPerRun(200, func() {
		c.connect()
		<-closed
	})
	if n != 0 {
		t.Errorf("a connection costs %v allocations", n)
	}
	f := func() { closed <- struct{}{} }
	n = testing.AllocsPerRun(200, func() {
		l.Post(f)
		<-closed
	})
	if n != 0 {
		t.Errorf("Post costs %v allocations", n)
	}
}
