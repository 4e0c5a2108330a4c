package accept

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

func pair(t testing.TB) (a, b sock.FD) {
	t.Helper()
	a, b, err := sock.Pair(sock.Stream)
	check(t, err)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

func TestWatch(t *testing.T) {
	l := newLoop(t, Options{})
	a, b := pair(t)
	type call struct {
		fd     sock.FD
		events uint32
		name   string
	}
	calls := make(chan call, 1) // so that a call too many would block the loop
	watch := func(name string, events uint32) {
		check(t, l.Watch(a, events, func(fd sock.FD, events uint32) { calls <- call{fd, events, name} }))
	}
	inLoop := func(f func()) {
		done := make(chan struct{})
		l.Post(func() {
			f()
			close(done)
		})
		<-done
	}
	want := func(c call) {
		t.Helper()
		if got := <-calls; got != c {
			t.Errorf("called with %+v, want %+v", got, c)
		}
	}
	watch("before Run", unix.EPOLLIN|unix.EPOLLONESHOT)
	b.Write([]byte("x"))
	run(t, l)
	want(call{a, unix.EPOLLIN, "before Run"})

	// Another function and other events, over and over: level-triggered.
	inLoop(func() { watch("again", unix.EPOLLOUT) })
	for range 3 {
		want(call{a, unix.EPOLLOUT, "again"})
	}
	// The loop may be blocked in one more call: take it, if it is there.
	done := make(chan struct{})
	l.Post(func() {
		l.Unwatch(a)
		l.Unwatch(a)
		close(done)
	})
	for unwatched := false; !unwatched; {
		select {
		case <-calls:
		case <-done:
			unwatched = true
		}
	}
	for len(calls) > 0 {
		<-calls
	}
	settled(l)
	if len(calls) > 0 {
		t.Error("called after Unwatch")
	}
}

func TestWatchErrors(t *testing.T) {
	l := newLoop(t, Options{})
	if err := l.Watch(sock.None, unix.EPOLLIN, func(sock.FD, uint32) {}); err == nil {
		t.Error("no descriptor is fine")
	}
	if err := l.Watch(0, unix.EPOLLIN, nil); err == nil {
		t.Error("no callback is fine")
	}
	if err := l.Watch(1<<16, unix.EPOLLIN, func(sock.FD, uint32) {}); !errors.Is(err, unix.EBADF) {
		t.Errorf("no open descriptor: %v", err)
	}
	l.Unwatch(sock.None)
	l.Unwatch(1 << 20)
	ln := tcp(t)
	_, err := l.Add(ln, answer)
	check(t, err)
	if err := l.Watch(ln, unix.EPOLLIN, func(sock.FD, uint32) {}); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a source: %v", err)
	}
}

// TestReusedNumber: two connections are ready in one batch of events. The first
// to be called closes the other and gives its number to a third, which isn't
// ready and mustn't be told so.
func TestReusedNumber(t *testing.T) {
	for _, unwatch := range []bool{true, false} {
		l := newLoop(t, Options{})
		var fds [2]sock.FD
		for i := range fds {
			a, b := pair(t)
			fd, err := a.Dup()
			check(t, err)
			a.Close()
			fds[i] = fd
			b.Write([]byte("x"))
		}
		third, end := pair(t)
		called := make(chan sock.FD, 8)
		reused := make(chan struct{}, 8)
		for i, fd := range fds {
			check(t, l.Watch(fd, unix.EPOLLIN, func(fd sock.FD, _ uint32) {
				called <- fd
				l.Unwatch(fd)
				other := fds[1-i]
				if unwatch {
					l.Unwatch(other)
				}
				if err := unix.Dup3(int(third), int(other), unix.O_CLOEXEC); err != nil { // closes other first
					t.Error(err)
				}
				if err := l.Watch(other, unix.EPOLLIN, func(sock.FD, uint32) {
					reused <- struct{}{}
					l.Unwatch(other)
				}); err != nil {
					t.Error(err)
				}
			}))
		}
		stop := run(t, l)
		<-called
		settled(l)
		if len(called)+len(reused) > 0 {
			t.Errorf("unwatch %v: the number's new owner was told of the old one's event", unwatch)
		}
		end.Write([]byte("x")) // its own does reach it
		<-reused
		stop()
		for _, fd := range fds {
			fd.Close()
		}
	}
}

// TestForgotten: a connection closed without Unwatch doesn't leave its function
// behind for the connection that gets its number.
func TestForgotten(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	var fds []sock.FD
	accepted := make(chan sock.FD)
	_, err := l.Add(ln, func(fd sock.FD, _ sock.Addr) {
		if w := l.watches.at(fd); w != nil && w.f != nil {
			t.Errorf("descriptor %d is watched before its callback is called", fd)
		}
		fds = append(fds, fd)
		if err := l.Watch(fd, unix.EPOLLIN, func(sock.FD, uint32) {}); err != nil {
			t.Error(err)
		}
		fd.Close()
		accepted <- fd
	})
	check(t, err)
	run(t, l)
	seen := map[sock.FD]bool{}
	for range 10 {
		c := dial(t, ln)
		fd := <-accepted
		c.Close()
		if seen[fd] {
			return
		}
		seen[fd] = true
	}
	t.Error("no number was reused, so nothing was tested")
}

// TestWatchMemory: an idle connection costs no more than its place in a table.
func TestWatchMemory(t *testing.T) {
	l := newLoop(t, Options{})
	const n = 2000
	fds := make([]sock.FD, n) // not duplicates: the kernel allows 500 of one (reverse_path_check)
	for i := 0; i < n; i += 2 {
		var err error
		fds[i], fds[i+1], err = sock.Pair(sock.Stream)
		check(t, err)
	}
	f := func(sock.FD, uint32) {}
	for _, fd := range fds {
		check(t, l.Watch(fd, unix.EPOLLIN, f))
	}
	// Nothing else is kept: the pages, and what points to them.
	bytes := 8 * cap(l.watches)
	for _, page := range l.watches {
		if page != nil {
			bytes += 16 * pageSize
		}
	}
	if per := float64(bytes) / n; per > 24 {
		t.Errorf("%.0f bytes for a watched connection", per)
	}
	allocs := testing.AllocsPerRun(10, func() {
		for _, fd := range fds {
			l.Unwatch(fd)
			l.Watch(fd, unix.EPOLLIN, f)
		}
	})
	if allocs != 0 {
		t.Errorf("watching %d connections again allocates %v times", n, allocs)
	}
	for _, fd := range fds {
		fd.Close()
	}
}
