package listen_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

func TestCounters(t *testing.T) {
	testleak.FDs(t)
	shared := new(listen.Counters)
	a := mustListen(t, listen.Config{Counters: shared}, "tcp", "127.0.0.1:0")
	b := mustListen(t, listen.Config{Counters: shared}, "tcp", "127.0.0.1:0")
	if own := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0"); own.Counters() == shared || own.Counters() == nil {
		t.Error("a listener without Counters has none of its own")
	}
	want := func(accepted, active int64) {
		t.Helper()
		if n, m := a.Counters().Accepted.Load(), shared.Active.Load(); n != accepted || m != active {
			t.Errorf("accepted %d, active %d; not %d, %d", n, m, accepted, active)
		}
	}
	dial(t, a)
	c1 := accept(t, a).(*connwrap.Conn)
	dial(t, b)
	c2 := accept(t, b).(*connwrap.Conn)
	want(2, 2)
	c1.Close()
	c1.Close()
	want(2, 1)
	fd, err := c2.Detach()
	if err != nil {
		t.Fatal(err)
	}
	fd.Close()
	want(2, 0)

	dial(t, a)
	fd, _, err = a.AcceptFD()
	if err != nil {
		t.Fatal(err)
	}
	fd.Close()
	want(3, 0)

	a.SetDeadline(time.Now())
	a.Accept()
	a.AcceptFD()
	want(3, 0)
}

// TestOnConnClose is told when a place is free and the connection not counted.
func TestOnConnClose(t *testing.T) {
	testleak.FDs(t)
	var l *listen.Listener
	var active []int64
	c := listen.Config{MaxConns: 1, OnConnClose: func() { active = append(active, l.Counters().Active.Load()) }}
	l = mustListen(t, c, "tcp", "127.0.0.1:0")
	for range 2 {
		dial(t, l)
		if err := accept(t, l).Close(); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(active, []int64{0, 0}) {
		t.Errorf("told with %v active", active)
	}
}

func TestAcceptFD(t *testing.T) {
	testleak.FDs(t)
	l := mustListen(t, listen.Config{MaxConns: 1}, "tcp", "127.0.0.1:0")
	for range 2 {
		client := dial(t, l)
		fd, peer, err := l.AcceptFD()
		if err != nil {
			t.Fatal(err)
		}
		defer fd.Close()
		if peer.String() != client.LocalAddr().String() {
			t.Errorf("peer %v, not %v", peer, client.LocalAddr())
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
	}
}

// TestMaxConns leaves clients in the queue while the limit is reached.
func TestMaxConns(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []listen.Config{{MaxConns: 2}, {MaxConns: 2, Shared: true}} {
		l := mustListen(t, c, "tcp", "127.0.0.1:0")
		for range 5 {
			dial(t, l)
		}
		accepted := make(chan net.Conn)
		ended := make(chan error)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				accepted <- conn
			}
		}()
		first, second := <-accepted, <-accepted
		defer second.Close()
		l.SetDeadline(time.Now().Add(20 * time.Millisecond))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("with two open: %v", err)
		}
		if q, err := l.Queue(); err != nil || q.Depth != 3 {
			t.Errorf("queue %+v, %v", q, err)
		}

		l.SetDeadline(time.Time{})
		go func() {
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
			}
			accepted <- conn
		}()
		first.Close()
		third := <-accepted

		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		waitsForPlace(t)
		l.SetDeadline(time.Now().Add(time.Hour))
		l.SetDeadline(time.Now().Add(10 * time.Millisecond))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline moved while it waits for a place: %v", err)
		}
		l.SetDeadline(time.Time{})
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		waitsForPlace(t)
		l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed while it waits for a place: %v", err)
		}
		third.Close()
	}
}

// waitsForPlace returns when an Accept is blocked by MaxConns.
func waitsForPlace(t *testing.T) {
	t.Helper()
	waiting := regexp.MustCompile(`\[select\]:\n.*takeSlot`)
	stacks := make([]byte, 1<<20)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if waiting.Match(stacks[:runtime.Stack(stacks, true)]) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no Accept waits for a place")
		}
	}
}

// TestMaxConnsKeepsPlaces has no place lost when Accept fails.
func TestMaxConnsKeepsPlaces(t *testing.T) {
	testleak.FDs(t)
	src := newFakeSource(t)
	c := listen.Config{MaxConns: 1}
	l, err := c.FromSources(&net.TCPAddr{}, src)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	boom := errors.New("boom")
	for range 3 {
		src.push(func() (sock.FD, error) { return sock.None, boom })
		if _, err := l.Accept(); !errors.Is(err, boom) {
			t.Errorf("%v", err)
		}
		// What can't be wrapped is no connection.
		src.push(func() (sock.FD, error) { return sock.None, nil })
		if conn, err := l.Accept(); err == nil {
			t.Errorf("no descriptor is accepted: %v", conn)
			conn.Close()
		}
	}
	if n := l.Counters().Active.Load(); n != 0 {
		t.Errorf("%d active", n)
	}
}

func TestAcceptRetries(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []listen.Config{{}, {Shared: true}} {
		src := newFakeSource(t)
		l, err := c.FromSources(&net.TCPAddr{}, src)
		if err != nil {
			t.Fatal(err)
		}
		aborted := func() (sock.FD, error) { return sock.None, os.NewSyscallError("accept4", unix.ECONNABORTED) }
		src.push(aborted)
		src.push(aborted)
		src.push(src.pair)
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		l.Close()
	}
}

// TestAcceptWithoutDescriptors keeps the connection in the queue at EMFILE.
func TestAcceptWithoutDescriptors(t *testing.T) {
	testleak.FDs(t)
	l := mustListen(t, listen.Config{MaxConns: 1}, "tcp", "127.0.0.1:0")
	dial(t, l)
	accept(t, l).Close()
	client := dial(t, l)

	restore := noDescriptorsLeft(t)
	_, err := l.Accept()
	restore()
	var call *os.SyscallError
	if !errors.Is(err, unix.EMFILE) || !errors.As(err, &call) || call.Syscall != "accept4" {
		t.Errorf("%v", err)
	}
	if ne, ok := err.(net.Error); !ok || ne.Timeout() || !isTemporary(err) {
		t.Errorf("%v: net/http would give up", err)
	}
	if got := accept(t, l); got.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("accepted %v, not %v", got.RemoteAddr(), client.LocalAddr())
	}
}

// TestFirstAcceptWithoutDescriptors fails to set the waiting up, and recovers.
func TestFirstAcceptWithoutDescriptors(t *testing.T) {
	testleak.FDs(t)
	for name, listen := range map[string]func(*testing.T) (net.Listener, error){
		"polled":      with(listen.Config{}, "tcp", "127.0.0.1:0"),
		"shared":      with(listen.Config{Shared: true}, "tcp", "127.0.0.1:0"),
		"two sources": fromSources(listen.Config{}, 2),
	} {
		l, err := listen(t)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dial(t, l)
		restore := noDescriptorsLeft(t)
		_, err = l.Accept()
		restore()
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: %v", name, err)
		}
		accept(t, l)
	}
}

func isTemporary(err error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// noDescriptorsLeft sets RLIMIT_NOFILE so that no number is free.
func noDescriptorsLeft(t *testing.T) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	lowestFree, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(lowestFree)
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowestFree), Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoHalfOpen(t *testing.T) {
	testleak.FDs(t)
	for _, noHalfOpen := range []bool{false, true} {
		l := mustListen(t, listen.Config{NoHalfOpen: noHalfOpen}, "tcp", "127.0.0.1:0")
		client := dial(t, l).(*net.TCPConn)
		server := accept(t, l)
		client.CloseWrite()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		_, err := server.Write([]byte("x"))
		if noHalfOpen != errors.Is(err, unix.EPIPE) {
			t.Errorf("NoHalfOpen %v: write after the end: %v", noHalfOpen, err)
		}
	}
}

func TestPauseOnConnect(t *testing.T) {
	testleak.FDs(t)
	l := mustListen(t, listen.Config{PauseOnConnect: true}, "tcp", "127.0.0.1:0")
	client := dial(t, l)
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	fd, err := accept(t, l).(*connwrap.Conn).Detach()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connwrap.New(fd, connwrap.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 5)
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "hello" {
		t.Errorf("%q, %v", buf, err)
	}
}

// TestContextEndsAccept shows that a deadline serves for a context.
func TestContextEndsAccept(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []listen.Config{{}, {Shared: true}} {
		l := mustListen(t, c, "tcp", "127.0.0.1:0")
		ctx, cancel := context.WithCancel(t.Context())
		stop := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
}
