package probe

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/sock"
)

// In a child, the test binary stops the processes it is told and waits to be
// killed.
func TestMain(m *testing.M) {
	// Without it each child of a test with -race would end a second late.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	if text := os.Getenv("PROBE_TEST_STOP"); text != "" {
		var pid int
		fmt.Sscan(text, &pid)
		_, err := stopProcesses([]int{pid})
		fmt.Println("stopped", err)
		time.Sleep(time.Minute)
	}
	goleak.VerifyTestMain(m)
}

// inNamespace runs the test again in a network namespace of its own, and
// reports whether we are in it.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("PROBE_TEST_NETNS") != "" {
		if err := setUp("lo"); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace and a TUN device")
	}
	child := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	child.Env = append(os.Environ(), "PROBE_TEST_NETNS=1")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := child.CombinedOutput()
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// listening makes a listening socket that the test's end closes.
func listening(t testing.TB, a sock.Addr, p sock.Protocol, backlog int, before ...func(sock.FD) error) (sock.FD, Target) {
	t.Helper()
	fd, err := sock.Socket(a.Family(), sock.Stream, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	for _, f := range before {
		if err := f(fd); err != nil {
			t.Fatal(err)
		}
	}
	if err := fd.Bind(a); err != nil {
		t.Fatal(err)
	}
	if err := fd.Listen(backlog); err != nil {
		t.Fatal(err)
	}
	name, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	return fd, Target{name, true}
}

// accepting accepts and holds connections until the test ends.
func accepting(t testing.TB, fd sock.FD) {
	quit, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(quit); <-done })
	go func() {
		defer close(done)
		var held []sock.FD
		defer func() {
			for _, c := range held {
				c.Close()
			}
		}()
		for {
			select {
			case <-quit:
				return
			default:
			}
			if c, _, err := fd.Accept(); err == nil {
				held = append(held, c)
			} else {
				unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5)
			}
		}
	}()
}

func inet(s string) sock.Addr { return sock.IPAddr(netip.MustParseAddrPort(s)) }

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
