package listen_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

// A fakeSource yields what the test pushes. Its descriptor is an eventfd.
type fakeSource struct {
	t  *testing.T
	fd sock.FD

	mu    sync.Mutex
	queue []func() (sock.FD, error)
}

func newFakeSource(t *testing.T) *fakeSource {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeSource{t: t, fd: sock.FD(fd)}
}

func (s *fakeSource) push(f func() (sock.FD, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, f)
	if _, err := s.fd.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		s.t.Error(err)
	}
}

func (s *fakeSource) Accept() (sock.FD, sock.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return sock.None, sock.Addr{}, unix.EAGAIN
	}
	f := s.queue[0]
	s.queue = s.queue[1:]
	if len(s.queue) == 0 {
		s.fd.Read(make([]byte, 8))
	}
	fd, err := f()
	return fd, sock.Addr{}, err
}

func (s *fakeSource) Descriptor() sock.FD { return s.fd }

// pair is a connection whose other end the test's end closes.
func (s *fakeSource) pair() (sock.FD, error) {
	a, b, err := sock.Pair(sock.Stream)
	if err == nil {
		s.t.Cleanup(func() { b.Close() })
	}
	return a, err
}

func ended() (sock.FD, error) { return sock.None, io.EOF }

func TestSourcesInTurn(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []listen.Config{{}, {Shared: true}} {
		a, b := newFakeSource(t), newFakeSource(t)
		l, err := c.FromSources(&net.UnixAddr{Name: "x", Net: "unix"}, a, b)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		from := func(s *fakeSource, name string) func() (sock.FD, error) {
			return func() (sock.FD, error) { order = append(order, name); return s.pair() }
		}
		for range 3 {
			a.push(from(a, "a"))
			b.push(from(b, "b"))
		}
		for range 6 {
			accept(t, l)
		}
		if got := order[0] + order[1] + order[2] + order[3] + order[4] + order[5]; got != "ababab" {
			t.Errorf("order %s", got)
		}
		l.Close()
	}
}

// TestSourcesEnd drops each source at its end, also while Accept waits.
func TestSourcesEnd(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []listen.Config{{}, {Shared: true}} {
		for n := 1; n <= 3; n++ {
			var srcs []sock.Source
			var fakes []*fakeSource
			for range n {
				s := newFakeSource(t)
				fakes = append(fakes, s)
				srcs = append(srcs, s)
			}
			l, err := c.FromSources(&net.TCPAddr{}, srcs...)
			if err != nil {
				t.Fatal(err)
			}
			result := make(chan error)
			last := fakes[n-1]
			for _, s := range fakes {
				go func() {
					conn, err := l.Accept()
					if err == nil {
						conn.Close()
					}
					result <- err
				}()
				s.push(ended)
				if s == last {
					break
				}
				last.push(last.pair)
				if err := <-result; err != nil {
					t.Fatal(err)
				}
			}
			if err := <-result; !errors.Is(err, net.ErrClosed) {
				t.Errorf("all sources have ended: %v", err)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("again: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
}

// TestSourcesWake has each source, idle or busy before, wake a waiting Accept.
func TestSourcesWake(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []listen.Config{{}, {Shared: true}} {
		a, b := newFakeSource(t), newFakeSource(t)
		l, err := c.FromSources(&net.TCPAddr{}, a, b)
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error)
		for i := range 200 {
			go func() {
				conn, err := l.Accept()
				if err == nil {
					conn.Close()
				}
				result <- err
			}()
			s := []*fakeSource{a, b}[i/3%2]
			s.push(s.pair)
			select {
			case err := <-result:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("Accept %d sleeps on", i)
			}
		}
		l.Close()
	}
}

// TestSourcesSocketMethods work on the first source that is a socket.
func TestSourcesSocketMethods(t *testing.T) {
	testleak.FDs(t)
	fd, addr := listening(t, "127.0.0.1:0")
	l, err := listen.Config{}.FromSources(addr.NetAddr(sock.Stream), newFakeSource(t), fd)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetBacklog(9); err != nil {
		t.Error(err)
	}
	if q, err := l.Queue(); err != nil || q.Limit != 9 || l.Descriptor() != fd {
		t.Errorf("queue %+v, %v, fd %d", q, err, l.Descriptor())
	}
	if _, err := l.Release(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Release: %v", err)
	}

	none, err := listen.Config{}.FromSources(&net.TCPAddr{}, newFakeSource(t))
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if _, err := none.Queue(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Queue: %v", err)
	}
	if err := none.SetBacklog(1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetBacklog: %v", err)
	}
	if _, err := none.Release(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Release: %v", err)
	}
	if fd := none.Descriptor(); fd != sock.None {
		t.Errorf("Descriptor: %d", fd)
	}
}

func TestFromSourcesRefuses(t *testing.T) {
	testleak.FDs(t)
	if l, err := (listen.Config{}).FromSources(&net.TCPAddr{}); err == nil {
		l.Close()
		t.Error("no source at all is accepted")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "blocking"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if l, err := (listen.Config{}).FromSources(&net.TCPAddr{}, sock.FD(f.Fd())); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a blocking source: %v, %v", l, err)
	}
}
