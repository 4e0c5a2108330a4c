package connwrap_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestDetachPaused(t *testing.T) {
	for _, network := range append(streams, "unixpacket") {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			s, c := fds(t, network)
			client := wrap(t, c, connwrap.Config{Network: network})
			must[int](t)(client.Write([]byte("waits")))
			closed := 0
			server := wrap(t, s, connwrap.Config{Network: network, PauseOnConnect: true, OnClose: func() { closed++ }})
			_ = server.LocalAddr()
			if watched(t, s) {
				t.Error("a paused Conn is in the poller")
			}
			fd := must[sock.FD](t)(server.Detach())
			if fd != s || closed != 1 {
				t.Errorf("got descriptor %d, want %d; OnClose called %d times", fd, s, closed)
			}
			afterDetach(t, server, fd, network)
		})
	}
}

func TestDetachResumed(t *testing.T) {
	for _, network := range append(streams, "unixpacket") {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			s, c := fds(t, network)
			client := wrap(t, c, connwrap.Config{Network: network})
			closed := 0
			server := wrap(t, s, connwrap.Config{Network: network, PauseOnConnect: true, OnClose: func() { closed++ }})
			check(t, server.Resume())
			check(t, server.Resume())
			if !watched(t, s) {
				t.Error("a resumed Conn is not in the poller")
			}
			must[int](t)(client.Write([]byte("read ")))
			p := make([]byte, 16)
			must[int](t)(server.Read(p))
			must[int](t)(client.Write([]byte("waits")))
			fd := must[sock.FD](t)(server.Detach())
			if closed != 1 {
				t.Errorf("OnClose called %d times", closed)
			}
			if watched(t, fd) {
				t.Error("still in the poller")
			}
			if _, err := unix.FcntlInt(uintptr(s), unix.F_GETFD, 0); err != unix.EBADF {
				t.Errorf("the old descriptor is still open: %v", err)
			}
			afterDetach(t, server, fd, network)
		})
	}
}

// afterDetach expects "waits" in fd, and closed to be closed.
func afterDetach(t *testing.T, closed *connwrap.Conn, fd sock.FD, network string) {
	t.Helper()
	flags := must[int](t)(unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0))
	fdFlags := must[int](t)(unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0))
	if flags&unix.O_NONBLOCK == 0 || fdFlags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %#x: want O_NONBLOCK and FD_CLOEXEC", flags, fdFlags)
	}
	for name, err := range map[string]error{
		"Read":        second(closed.Read(make([]byte, 1))),
		"Write":       second(closed.Write([]byte("x"))),
		"Detach":      second(closed.Detach()),
		"Close":       closed.Close(),
		"Resume":      closed.Resume(),
		"SetDeadline": closed.SetDeadline(time.Time{}),
		"CloseWrite":  closed.CloseWrite(),
		"SetNoDelay":  closed.SetNoDelay(true),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Detach: %v", name, err)
		}
	}
	again := wrap(t, fd, connwrap.Config{Network: network})
	p := make([]byte, 16)
	if n, err := again.Read(p); err != nil || string(p[:n]) != "waits" {
		t.Errorf("unread data: %q, %v", p[:n], err)
	}
}

func TestDetachInterrupts(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			server, client := pair(t, network, connwrap.Config{})
			check(t, server.SetWriteBuffer(4096))
			errs := make(chan error, 2)
			go func() { _, err := server.Read(make([]byte, 1)); errs <- err }()
			go func() { _, err := server.Write(make([]byte, 64<<20)); errs <- err }()
			must[int](t)(client.Read(make([]byte, 1))) // the Write is under way, and far from done
			fd := must[sock.FD](t)(server.Detach())
			for range 2 {
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("interrupted: %v", err)
				}
			}
			must[int](t)(client.Write([]byte("waits")))
			check(t, waitFor(fd, unix.POLLIN))
			afterDetach(t, server, fd, network)
		})
	}
}

func TestDetachWithoutDescriptors(t *testing.T) {
	testleak.FDs(t)
	server, client := pair(t, "tcp4", connwrap.Config{})
	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
	_, err := server.Detach()
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("%v, want EMFILE", err)
	}
	exchange(t, server, client) // still works
}

// A paused Conn starts with whatever is called first.
func TestFirstUseEndsPause(t *testing.T) {
	for name, use := range map[string]func(*connwrap.Conn) error{
		"Read":             func(c *connwrap.Conn) error { return second(c.Read(make([]byte, 5))) },
		"Write":            func(c *connwrap.Conn) error { return second(c.Write([]byte("x"))) },
		"SetReadDeadline":  func(c *connwrap.Conn) error { return c.SetReadDeadline(time.Now().Add(time.Hour)) },
		"SetWriteDeadline": func(c *connwrap.Conn) error { return c.SetWriteDeadline(time.Time{}) },
		"WriteBuffers":     func(c *connwrap.Conn) error { return second(c.WriteBuffers(&net.Buffers{[]byte("x")})) },
		"Resume":           func(c *connwrap.Conn) error { return c.Resume() },
		"Control": func(c *connwrap.Conn) error {
			raw, err := c.SyscallConn()
			if err != nil {
				return err
			}
			return raw.Control(func(uintptr) {})
		},
	} {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			s, c := fds(t, "tcp4")
			client := wrap(t, c, connwrap.Config{})
			must[int](t)(client.Write([]byte("hello")))
			server := wrap(t, s, connwrap.Config{PauseOnConnect: true})
			check(t, server.SetNoDelay(true)) // no use in this sense
			must[any](t)(server.SyscallConn())
			if watched(t, s) {
				t.Error("in the poller before")
			}
			check(t, use(server))
			if !watched(t, s) {
				t.Error("not in the poller after")
			}
		})
	}
}

// A deadline that was set first survives a Resume.
func TestResumeKeepsDeadline(t *testing.T) {
	testleak.FDs(t)
	server, _ := pair(t, "tcp4", connwrap.Config{PauseOnConnect: true})
	check(t, server.SetReadDeadline(time.Now().Add(time.Millisecond)))
	check(t, server.Resume())
	if _, err := server.Read(make([]byte, 1)); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
}

func TestPausedBlockingDescriptor(t *testing.T) {
	testleak.FDs(t)
	s, c := fds(t, "tcp4")
	defer c.Close()
	check(t, unix.SetNonblock(int(s), false))
	server := wrap(t, s, connwrap.Config{Network: "tcp", PauseOnConnect: true})
	for range 2 {
		if _, err := server.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read from a blocking descriptor: %v", err)
		}
	}
}

// Whatever runs at once, the descriptor is given up once, and OnClose called once.
func TestConcurrentEnd(t *testing.T) {
	testleak.FDs(t)
	for i := range 200 {
		var closes, detached, closed atomic.Int32
		server, client := pair(t, streams[i%3], connwrap.Config{
			PauseOnConnect: i%2 == 0,
			Late:           i%7 < 4,
			NoHalfOpen:     i%5 == 0,
			OnClose:        func() { closes.Add(1) },
		})
		var wg sync.WaitGroup
		for _, f := range []func(){
			func() { io.Copy(io.Discard, struct{ io.Reader }{server}) },
			func() { server.Write(payload) },
			func() { server.WriteBuffers(&net.Buffers{payload}) },
			func() { server.ReadFrom(client) },
			func() { client.ReadFrom(server) },
			func() { server.Resume() },
			func() { server.SetDeadline(time.Now().Add(time.Hour)) },
			func() { server.LocalAddr(); server.RemoteAddr() },
			func() { server.SetNoDelay(true); server.CloseWrite() },
			func() { client.Write([]byte("x")); client.CloseWrite() },
			func() {
				raw, _ := server.SyscallConn()
				raw.Control(func(uintptr) {})
			},
			func() {
				if server.Close() == nil {
					closed.Add(1)
				}
			},
			func() {
				if fd, err := server.Detach(); err == nil {
					detached.Add(1)
					fd.Close()
				}
			},
		} {
			wg.Go(f)
		}
		wg.Wait()
		if closes.Load() != 1 || detached.Load()+closed.Load() != 1 {
			t.Fatalf("OnClose %d times, Close %d, Detach %d", closes.Load(), closed.Load(), detached.Load())
		}
		client.Close()
	}
}
