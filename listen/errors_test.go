package listen_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/internal/testleak"
	"onconn/listen"
)

// TestErrorsOfNet fails in the same ways with package net and with this one, and
// compares the types in the chain of errors, and the text.
func TestErrorsOfNet(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live := filepath.Join(dir, "live")
	mustListen(t, listen.Config{}, "unix", live)
	used := mustListen(t, listen.Config{}, "tcp4", "127.0.0.1:0").Addr().(*net.TCPAddr)

	for _, tt := range []struct {
		name             string
		network, address string
		errno            error
		run              func(t *testing.T, f func()) // around Listen
	}{
		{name: "in use", network: "tcp", address: used.String(), errno: unix.EADDRINUSE},
		{name: "in use by one of the wildcard's", network: "tcp", address: fmt.Sprintf(":%d", used.Port), errno: unix.EADDRINUSE},
		{name: "port too large", network: "tcp", address: "127.0.0.1:65536"},
		{name: "port negative", network: "tcp", address: "127.0.0.1:-1"},
		{name: "port missing", network: "tcp", address: "127.0.0.1"},
		{name: "port of no service", network: "tcp", address: ":no-such-service"},
		{name: "too many colons", network: "tcp", address: "::1:80"},
		{name: "unknown network", network: "tpc", address: ":0"},
		{name: "empty network", network: "", address: ":0"},
		{name: "unknown host", network: "tcp", address: "no-such-host.invalid:0"},
		{name: "not an IPv4 address", network: "tcp4", address: "[::1]:0"},
		{name: "not an IPv6 address", network: "tcp6", address: "127.0.0.1:0"},
		{name: "not a local address", network: "tcp", address: "192.0.2.1:0", errno: unix.EADDRNOTAVAIL},
		{name: "not a local IPv6 address", network: "tcp6", address: "[2001:db8::1]:0", errno: unix.EADDRNOTAVAIL},
		{name: "privileged port", network: "tcp", address: "127.0.0.1:1", errno: unix.EACCES, run: asNobody},
		{name: "path too long", network: "unix", address: strings.Repeat("x", 108), errno: unix.EINVAL},
		{name: "abstract name too long", network: "unix", address: "@" + strings.Repeat("x", 108), errno: unix.EINVAL},
		{name: "missing directory", network: "unix", address: filepath.Join(dir, "none", "s"), errno: unix.ENOENT},
		{name: "no right to write", network: "unixpacket", address: "/none", errno: unix.EACCES, run: asNobody},
		{name: "another kind of file", network: "unix", address: file, errno: unix.EADDRINUSE},
		{name: "a directory", network: "unix", address: dir, errno: unix.EADDRINUSE},
		{name: "unix in use", network: "unix", address: live, errno: unix.EADDRINUSE},
		{name: "unix in use by another type", network: "unixpacket", address: live, errno: unix.EADDRINUSE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.run == nil {
				tt.run = func(_ *testing.T, f func()) { f() }
			}
			tt.run(t, func() {
				l, theirs := net.Listen(tt.network, tt.address)
				if theirs == nil {
					l.Close()
					t.Fatal("net.Listen succeeds")
				}
				l, ours := listen.Config{}.Listen(context.Background(), tt.network, tt.address)
				if ours == nil {
					l.Close()
					t.Fatal("Listen succeeds")
				}
				var dns *net.DNSError
				if errors.As(theirs, &dns) && !dns.IsNotFound {
					t.Skip("no DNS here: ", theirs)
				}
				compare(t, theirs, ours)
				if tt.errno != nil && !errors.Is(ours, tt.errno) {
					t.Errorf("%v is not %v", ours, tt.errno)
				}
			})
		})
	}
}

// TestListenerErrorsOfNet compares errors of the listener's methods.
func TestListenerErrorsOfNet(t *testing.T) {
	testleak.FDs(t)
	for _, tt := range []struct {
		name string
		fail func(net.Listener) error
	}{
		{"deadline", func(l net.Listener) error {
			l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now())
			_, err := l.Accept()
			return err
		}},
		{"Close twice", func(l net.Listener) error {
			l.Close()
			return l.Close()
		}},
		{"Accept after Close", func(l net.Listener) error {
			l.Close()
			_, err := l.Accept()
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			theirs := tt.fail(a)
			a.Close()
			b := mustListen(t, listen.Config{}, "tcp", a.Addr().String())
			compare(t, theirs, tt.fail(b))
		})
	}
}

// additions are what our texts have beyond net's.
var additions = regexp.MustCompile(` \(held by [^)]*\)| \([^ ]* is not a socket and stays\)|(abstract unix name|unix path) has .* fit: `)

func compare(t *testing.T, theirs, ours error) {
	t.Helper()
	if a, b := theirs.Error(), additions.ReplaceAllString(ours.Error(), ""); a != b {
		t.Errorf("text:\nnet:  %s\nours: %s", a, ours)
	}
	if a, b := chain(theirs), chain(ours); a != b {
		t.Errorf("types:\nnet:  %s\nours: %s", a, b)
	}
	t.Log(ours)
}

// chain lists the types, less those that only add to the text.
func chain(err error) string {
	var types []string
	for ; err != nil; err = errors.Unwrap(err) {
		name := fmt.Sprintf("%T", err)
		if name != "*listen.InUseError" && name != "*fmt.wrapError" {
			types = append(types, name)
		}
	}
	return strings.Join(types, " ")
}

// asNobody runs f without root's rights, on a thread of its own.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	const keep = ^uintptr(0)
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 65534, keep); errno != 0 {
		t.Fatal(errno)
	}
	defer func() {
		// A thread that stays another user dies with the goroutine.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep); errno == 0 {
			runtime.UnlockOSThread()
		}
	}()
	f()
}

func TestInUseNamesHolder(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	for _, tt := range []struct{ network, address, again string }{
		{"tcp", "127.0.0.1:0", ""},
		{"tcp", ":0", "127.0.0.1"},
		{"tcp6", "[::1]:0", ""},
		{"unix", filepath.Join(dir, "s"), ""},
		{"unix", "@" + dir, ""},
	} {
		first := mustListen(t, listen.Config{}, tt.network, tt.address)
		address := first.Addr().String()
		if tt.again != "" {
			_, port, _ := net.SplitHostPort(address)
			address = net.JoinHostPort(tt.again, port)
		}
		_, err := listen.Config{}.Listen(t.Context(), tt.network, address)
		var inUse *listen.InUseError
		var call *os.SyscallError
		if !errors.As(err, &inUse) || !errors.As(err, &call) || !errors.Is(err, unix.EADDRINUSE) {
			t.Fatalf("%s %s: %v", tt.network, address, err)
		}
		want := fmt.Sprintf("address already in use (held by this process, fd %d)", first.Descriptor())
		if inUse.Error() != want || call.Syscall != "bind" || call.Err != error(inUse) {
			t.Errorf("%s %s: %s: %v, not %v", tt.network, address, call.Syscall, inUse, want)
		}
	}
}

func TestInUseErrorText(t *testing.T) {
	owner := func(pid int) backlog.Owner { return backlog.Owner{PID: pid, Command: "x", FD: 3} }
	all := []backlog.Owner{owner(1), {UID: 33}, owner(2), owner(4), owner(5)}
	for n, want := range map[int]string{
		1: "address already in use (held by x[1] fd 3)",
		3: "address already in use (held by x[1] fd 3, a process of uid 33, x[2] fd 3)",
		5: "address already in use (held by x[1] fd 3, a process of uid 33, x[2] fd 3, 2 more)",
	} {
		if got := (&listen.InUseError{Holders: all[:n]}).Error(); got != want {
			t.Errorf("%d holders: %s", n, got)
		}
	}
}
