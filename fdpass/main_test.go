package fdpass

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A test that needs another process starts the test binary again in a role.
const roleVariable = "FDPASS_TEST_ROLE"

var roles = map[string]func() error{
	"serve":    serveRole,
	"send":     sendRole,
	"limited":  limitedRole,
	"holes":    holesRole,
	"churn":    churnRole,
	"truncate": truncateRole,
	"inflight": inflightRole,
	"connect":  connectRole,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](); err != nil {
			fmt.Fprintf(os.Stderr, "role %s: %v\n", role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// Descriptors of a process in a role.
const (
	childQueue   sock.FD = 3
	childControl sock.FD = 4
)

type child struct {
	t      testing.TB
	pid    int
	waited bool
}

// start runs the test binary in a role, with fds as its descriptors from 3 on.
// os/exec would make sockets blocking for all who share them.
func start(t testing.TB, role string, attr syscall.SysProcAttr, env []string, fds ...sock.FD) *child {
	t.Helper()
	return startProgram(t, "/proc/self/exe", []string{os.Args[0]}, attr,
		append(env, roleVariable+"="+role, "GORACE=atexit_sleep_ms=0"), fds...)
}

func startProgram(t testing.TB, path string, argv []string, attr syscall.SysProcAttr, env []string, fds ...sock.FD) *child {
	t.Helper()
	files := []uintptr{0, 1, 2}
	for _, fd := range fds {
		files = append(files, uintptr(fd))
	}
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   append(os.Environ(), env...),
		Files: files,
		Sys:   &attr,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, pid: pid}
	t.Cleanup(func() {
		if !c.waited {
			c.signal(unix.SIGKILL)
			c.wait()
		}
	})
	return c
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(c.pid, s); err != nil {
		c.t.Errorf("kill %v: %v", s, err)
	}
}

// stop stops the process, and returns when it has.
func (c *child) stop() {
	c.t.Helper()
	c.signal(unix.SIGSTOP)
	for {
		err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WSTOPPED, nil)
		if err == nil {
			return
		}
		if err != unix.EINTR {
			c.t.Fatalf("waitid: %v", err)
		}
	}
}

func (c *child) wait() syscall.WaitStatus {
	c.waited = true
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(c.pid, &status, 0, nil)
		if err == nil {
			return status
		}
		if err != syscall.EINTR {
			c.t.Fatalf("wait4: %v", err)
		}
	}
}

// finish waits for a process that should end well.
func (c *child) finish() {
	c.t.Helper()
	if status := c.wait(); status.ExitStatus() != 0 {
		c.t.Fatalf("the child ended with %v", status)
	}
}

// readable waits until s is readable, or the test's patience is over.
func readable(s sock.FD) error {
	p := []unix.PollFd{{Fd: int32(s), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, 10_000)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errors.New("nothing to read within 10 s")
		default:
			return nil
		}
	}
}

// acceptWait takes the next connection, waiting for it.
func acceptWait(r *Receiver) (sock.FD, sock.Addr, error) {
	for {
		fd, peer, err := r.Accept()
		if !errors.Is(err, unix.EAGAIN) {
			return fd, peer, err
		}
		if err := readable(r.Descriptor()); err != nil {
			return sock.None, sock.Addr{}, err
		}
	}
}

func pair(t testing.TB, kind sock.Type) (a, b sock.FD) {
	t.Helper()
	a, b, err := sock.Pair(kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func newQueue(t testing.TB) *Queue {
	t.Helper()
	q, err := NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// within polls for a condition that another process or goroutine brings about.
func within(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
