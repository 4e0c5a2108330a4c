package accept

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/socktest"
)

func TestRetried(t *testing.T) {
	l := newLoop(t, Options{Burst: 8, OnError: func(_ *Listener, err error) { t.Errorf("OnError: %v", err) }})
	ln := tcp(t)
	src := socktest.Wrap(ln)
	for _, err := range []error{unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENETUNREACH} {
		src.Fail(err, 5) // more than a burst in all
	}
	_, err := l.Add(src, answer)
	check(t, err)
	run(t, l)
	wantServed(t, dial(t, ln))
	if got := src.Counts(); got.Injected != 20 || got.Accepted != 1 {
		t.Errorf("%+v; want one connection after 20 errors", got)
	}
}

// TestQueueExhausted: a source that is no listening socket waits, however long.
func TestQueueExhausted(t *testing.T) {
	l := newLoop(t, Options{ShedAfter: 1, OnError: func(_ *Listener, err error) { t.Errorf("OnError: %v", err) }})
	ln := tcp(t)
	src := socktest.Wrap(ln)
	_, err := l.Add(src, answer)
	check(t, err)
	run(t, l)
	for _, err := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		before := l.Stats().Exhausted
		src.Fail(err, 4)
		wantServed(t, dial(t, ln))
		if n := l.Stats().Exhausted - before; n != 4 {
			t.Errorf("%v: exhausted %d times, want 4", err, n)
		}
	}
	if n := l.Stats().Shed; n != 0 {
		t.Errorf("shed %d", n)
	}
}

// TestControlWhileExhausted: pause, resume and remove of a source that waits for
// descriptors.
func TestControlWhileExhausted(t *testing.T) {
	l := newLoop(t, Options{})
	ln := tcp(t)
	src := socktest.Wrap(ln)
	src.Fail(unix.EMFILE, -1)
	ls, err := l.Add(src, answer)
	check(t, err)
	run(t, l)
	c := dial(t, ln)
	eventually(t, "it is exhausted", func() bool { return src.Counts().Injected > 0 })

	ls.Pause()
	settled(l)
	src.Heal()
	before := src.Counts()
	quiet := make(chan struct{})
	l.Post(func() { // a retry that is due now finds it paused
		l.retry()
		close(quiet)
	})
	<-quiet
	if got := src.Counts(); got != before {
		t.Errorf("accepted from while paused: %+v, then %+v", before, got)
	}
	ls.Resume()
	wantServed(t, c)

	src.Fail(unix.EMFILE, -1)
	dial(t, ln)
	n := src.Counts().Injected
	eventually(t, "it is exhausted again", func() bool { return src.Counts().Injected > n })
	ls.Remove()
	before = src.Counts()
	settled(l)
	eventually(t, "the shortage is over", func() bool {
		over := make(chan bool)
		l.Post(func() { over <- l.shortage.next.IsZero() })
		return <-over
	})
	if got := src.Counts(); got != before {
		t.Errorf("accepted from after Remove: %+v, then %+v", before, got)
	}
}

func TestFailsForGood(t *testing.T) {
	for _, want := range []error{unix.EINVAL, unix.EBADF, unix.EOPNOTSUPP, io.EOF, net.ErrClosed, errors.New("odd")} {
		t.Run(want.Error(), func(t *testing.T) {
			type failure struct {
				ls  *Listener
				err error
			}
			failures := make(chan failure, 2)
			l := newLoop(t, Options{OnError: func(ls *Listener, err error) {
				ls.Remove() // allowed, though it is removed already
				failures <- failure{ls, err}
			}})
			ln, other := tcp(t), tcp(t)
			src := socktest.Wrap(ln)
			src.Fail(want, -1)
			ls, err := l.Add(src, answer)
			check(t, err)
			_, err = l.Add(other, answer)
			check(t, err)
			run(t, l)
			dial(t, ln)
			if got := <-failures; got.ls != ls || !errors.Is(got.err, want) {
				t.Errorf("OnError(%p, %v), want %p, %v", got.ls, got.err, ls, want)
			}
			wantServed(t, dial(t, other)) // the loop goes on
			if n := src.Counts().Injected; n != 1 {
				t.Errorf("tried %d times", n)
			}
		})
	}
}

// TestShutdownIsLogged: a socket that is shut down under the loop is reported,
// through the log if there is no OnError.
func TestShutdownIsLogged(t *testing.T) {
	var log bytes.Buffer
	l := newLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ln := tcp(t)
	_, err := l.Add(ln, answer)
	check(t, err)
	stop := run(t, l)
	check(t, ln.Shutdown(unix.SHUT_RD))
	eventually(t, "it is removed", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.listeners) == 0
	})
	stop()
	if s := log.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "invalid argument") {
		t.Errorf("logged:\n%s", s)
	}
}

// TestResumeClosed: a source that can't be put back into the epoll set is
// reported, not forgotten.
func TestResumeClosed(t *testing.T) {
	failed := make(chan error, 1)
	l := newLoop(t, Options{OnError: func(_ *Listener, err error) { failed <- err }})
	ln, err := tcp(t).Dup()
	check(t, err)
	ls, err := l.Add(ln, answer)
	check(t, err)
	run(t, l)
	ls.Pause()
	check(t, ln.Close())
	ls.Resume()
	if err := <-failed; !errors.Is(err, unix.EBADF) {
		t.Errorf("OnError: %v, want EBADF", err)
	}
}
