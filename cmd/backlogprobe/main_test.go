package main

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/sock"
)

// The test binary is backlogprobe itself when envMain is set.
const envMain = "BACKLOGPROBE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(envMain) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// tooLong is when a backlogprobe that hangs is killed.
const tooLong = 60 * time.Second

// command is backlogprobe with these arguments, in a terminal of no kind.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), tooLong)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = "backlogprobe"
	cmd.Env = append(os.Environ(), envMain+"=1", "GORACE=atexit_sleep_ms=0", "LC_ALL=C.UTF-8", "NO_COLOR=")
	return cmd
}

// result is what a backlogprobe that has ended left.
type result struct {
	code           int
	stdout, stderr string
}

// run runs backlogprobe in the namespace to its end.
func run(t *testing.T, n *netns.Namespace, args ...string) (r result) {
	t.Helper()
	return finish(t, n, command(t, args...))
}

func finish(t *testing.T, n *netns.Namespace, cmd *exec.Cmd) result {
	t.Helper()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	n.Do(func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	cmd.Wait()
	if strings.Contains(err.String(), "DATA RACE") || strings.Contains(err.String(), "panic:") {
		t.Errorf("%q: %s", cmd.Args, err.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), err.String()}
}

// stalled makes a listener that nobody accepts from.
func stalled(t *testing.T, n *netns.Namespace, addr string, backlog int) sock.FD {
	t.Helper()
	var fd sock.FD
	a := sock.IPAddr(netip.MustParseAddrPort(addr))
	n.Do(func() {
		var err error
		if fd, err = sock.Socket(a.Family(), sock.Stream, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fd.Close() })
		if err := fd.Bind(a); err != nil {
			t.Fatal(err)
		}
		if err := fd.Listen(backlog); err != nil {
			t.Fatal(err)
		}
	})
	return fd
}

// knock begins connections to a port of the namespace's 127.0.0.1.
func knock(t *testing.T, n *netns.Namespace, port, many int) (fds []int) {
	t.Helper()
	n.Do(func() {
		for range many {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
			if err != nil && err != unix.EINPROGRESS {
				t.Fatal(err)
			}
			fds = append(fds, fd)
		}
	})
	return fds
}

// until polls for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in 30 s it never held that ", what)
		}
	}
}

// dial connects to a port of the namespace's 127.0.0.1.
func dial(n *netns.Namespace, port string) (c net.Conn, err error) {
	n.Do(func() { c, err = net.DialTimeout("tcp4", "127.0.0.1:"+port, 30*time.Second) })
	return c, err
}
