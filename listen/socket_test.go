package listen_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/backlog"
	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

func somaxconn(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Skip(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBacklog(t *testing.T) {
	testleak.FDs(t)
	limit := somaxconn(t)
	if limit < listen.DefaultBacklog {
		t.Skip("net.core.somaxconn is ", limit)
	}
	for _, tt := range []struct{ backlog, asked, granted int }{
		{0, 511, 511}, {1, 1, 1}, {100, 100, 100}, {-1, -1, limit}, {-7, -7, limit}, {limit, limit, limit},
	} {
		for _, network := range []string{"tcp", "unix"} {
			address := map[string]string{"tcp": "127.0.0.1:0", "unix": ""}[network]
			l := mustListen(t, listen.Config{Backlog: tt.backlog}, network, address)
			wantBacklog(t, l, tt.asked, tt.granted)
		}
	}
}

func wantBacklog(t *testing.T, l *listen.Listener, asked, granted int) {
	t.Helper()
	if a, g := l.Backlog(); a != asked || g != granted {
		t.Errorf("%v: backlog %d, %d; not %d, %d", l.Addr(), a, g, asked, granted)
	}
	if q, err := l.Queue(); err != nil || q != (backlog.Queue{Limit: granted}) {
		t.Errorf("%v: queue %+v, %v", l.Addr(), q, err)
	}
}

// TestBacklogClamp has the clamp reported once, with what to do.
func TestBacklogClamp(t *testing.T) {
	testleak.FDs(t)
	limit := somaxconn(t)
	for _, network := range []string{"tcp", "unix"} {
		var logged bytes.Buffer
		c := listen.Config{Backlog: limit + 1, Logger: slog.New(slog.NewJSONHandler(&logged, nil))}
		address := map[string]string{"tcp": "127.0.0.1:0", "unix": ""}[network]
		l := mustListen(t, c, network, address)
		wantBacklog(t, l, limit+1, limit)
		if err := l.SetBacklog(limit + 2); err != nil {
			t.Fatal(err)
		}
		wantBacklog(t, l, limit+2, limit)

		var got struct {
			Level, Msg, Network, Address, Command string
			Asked, Granted                        int
		}
		if err := json.Unmarshal(logged.Bytes(), &got); err != nil {
			t.Fatalf("logged %q: %v", &logged, err)
		}
		if got.Level != "WARN" || !strings.Contains(got.Msg, "net.core.somaxconn") || got.Network != network ||
			got.Address != l.Addr().String() || got.Asked != limit+1 || got.Granted != limit ||
			got.Command != "sysctl -w net.core.somaxconn="+strconv.Itoa(limit+1) {
			t.Errorf("logged %q", &logged)
		}
	}
}

func init() {
	children["small somaxconn"] = func() {
		if err := os.WriteFile("/proc/sys/net/core/somaxconn", []byte("7"), 0); err != nil {
			say("skip", err)
			return
		}
		var logged bytes.Buffer
		c := listen.Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))}
		l, err := c.Listen(context.Background(), "tcp", ":0")
		say(err)
		say(l.Backlog())
		say(strings.Count(logged.String(), "asked=511 granted=7"))
		c.Backlog = -1
		l, err = c.Listen(context.Background(), "unix", "")
		say(err)
		say(l.Backlog())
		say(strings.Count(logged.String(), "\n"))
	}
}

// TestBacklogDefaultClamp has the default clamped, in a network namespace of its own.
func TestBacklogDefaultClamp(t *testing.T) {
	testleak.FDs(t)
	p := startChild(t, "small somaxconn", nil, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	got := p.wait()
	if strings.HasPrefix(got, "skip") {
		t.Skip(got)
	}
	if want := "<nil>\n511 7\n1\n<nil>\n-1 7\n1\n"; got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestSetBacklog(t *testing.T) {
	testleak.FDs(t)
	for _, network := range []string{"tcp", "unix"} {
		address := map[string]string{"tcp": "127.0.0.1:0", "unix": ""}[network]
		l := mustListen(t, listen.Config{Backlog: 10}, network, address)
		for range 4 {
			dial(t, l)
		}
		if err := l.SetBacklog(2); err != nil {
			t.Fatal(err)
		}
		if asked, granted := l.Backlog(); asked != 2 || granted != 2 {
			t.Errorf("backlog %d, %d", asked, granted)
		}
		waitQueue(t, l, backlog.Queue{Depth: 4, Limit: 2})
		for range 4 {
			accept(t, l)
		}
		if err := l.SetBacklog(0); err != nil {
			t.Fatal(err)
		}
		if q, err := l.Queue(); err != nil || q.Limit != min(511, somaxconn(t)) {
			t.Errorf("%+v, %v", q, err)
		}
	}
}

// waitQueue waits for the end of handshakes that are under way.
func waitQueue(t *testing.T, l *listen.Listener, want backlog.Queue) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		q, err := l.Queue()
		if err != nil {
			t.Fatal(err)
		}
		if q == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("queue %+v, not %+v", q, want)
		}
	}
}

func TestAfterClose(t *testing.T) {
	testleak.FDs(t)
	l := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0")
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for name, f := range map[string]func() error{
		"Accept":      func() error { _, err := l.Accept(); return err },
		"AcceptFD":    func() error { _, _, err := l.AcceptFD(); return err },
		"Close":       l.Close,
		"Release":     func() error { _, err := l.Release(); return err },
		"Queue":       func() error { _, err := l.Queue(); return err },
		"SetBacklog":  func() error { return l.SetBacklog(1) },
		"SetDeadline": func() error { return l.SetDeadline(time.Time{}) },
		"SyscallConn": func() error { _, err := l.SyscallConn(); return err },
		"Control":     func() error { return raw.Control(func(uintptr) { t.Error("called") }) },
	} {
		var op *net.OpError
		if err := f(); !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fd := l.Descriptor(); fd != sock.None {
		t.Errorf("Descriptor: %d", fd)
	}
}

func TestSyscallConn(t *testing.T) {
	testleak.FDs(t)
	l := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0")
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got sock.FD
	if err := raw.Control(func(fd uintptr) { got = sock.FD(fd) }); err != nil || got != l.Descriptor() {
		t.Errorf("fd %d, %v", got, err)
	}
	never := func(uintptr) bool { t.Error("called"); return true }
	if err := raw.Read(never); err != syscall.EINVAL {
		t.Errorf("Read: %v", err)
	}
	if err := raw.Write(never); err != syscall.EINVAL {
		t.Errorf("Write: %v", err)
	}
}

// TestRelease has what waits in the queue survive the Listener.
func TestRelease(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	for _, tt := range []struct {
		c                listen.Config
		network, address string
		used             bool
	}{
		{listen.Config{}, "tcp", "127.0.0.1:0", false},
		{listen.Config{}, "tcp", "127.0.0.1:0", true},
		{listen.Config{Shared: true}, "tcp", "127.0.0.1:0", true},
		{listen.Config{}, "unix", path, true},
	} {
		l := mustListen(t, tt.c, tt.network, tt.address)
		if tt.used {
			dial(t, l)
			accept(t, l)
		}
		waits := make(chan error)
		go func() {
			if !tt.used {
				waits <- nil
				return
			}
			conn, err := l.Accept()
			if err == nil {
				conn.Close()
			}
			waits <- err
		}()
		if tt.used {
			dial(t, l) // for the goroutine, or for the next owner
		}
		fd := l.Descriptor()
		got, err := l.Release()
		if err != nil || got != fd {
			t.Fatalf("released %d, %v; not %d", got, err, fd)
		}
		if err := <-waits; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close: %v", err)
		}

		next, err := listen.Config{}.Own(got)
		if err != nil {
			t.Fatal(err)
		}
		before, err := next.Queue()
		if err != nil {
			t.Fatal(err)
		}
		dial(t, next)
		for range before.Depth + 1 {
			accept(t, next)
		}
		next.Close()
	}
	if !exists(path) {
		t.Error("the file of a released socket is gone")
	}
}
