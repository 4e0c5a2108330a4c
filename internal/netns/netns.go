// Package netns makes network namespaces for tests.
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	_ "onconn/internal/linux"
)

// A Namespace is a network namespace whose only user is the test.
type Namespace struct {
	t    testing.TB
	file *os.File
	fd   int
}

// New makes a network namespace with lo up, until the end of the test. It skips
// the test where we may not.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t, fd: -1}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare CLONE_NEWNET", err)
		}
		n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("open", err)
		}
		n.file = os.NewFile(uintptr(n.fd), "netns")
		return up("lo")
	})
	if n.file != nil {
		t.Cleanup(n.Close)
	}
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs CAP_SYS_ADMIN, to make a network namespace: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Path is a file that names the namespace, as /run/netns/NAME would, until Close.
func (n *Namespace) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.fd)
}

// ID is the inode number of the namespace.
func (n *Namespace) ID() uint64 {
	n.t.Helper()
	info, err := n.file.Stat()
	if err != nil {
		n.t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// Close gives the namespace up. It lives on as long as others use it.
func (n *Namespace) Close() { n.file.Close() }

// Do calls f on a thread that is in the namespace. Sockets that f opens belong
// to it for good, and processes that it starts are in it; goroutines are not.
// f may end the test.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	finished := false
	err := onThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		f()
		finished = true
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	if !finished { // f failed or skipped a test, which may be a subtest
		runtime.Goexit()
	}
}

// Sysctl sets net.NAME, written with slashes: "core/somaxconn".
func (n *Namespace) Sysctl(name, value string) {
	n.t.Helper()
	n.Do(func() {
		n.t.Helper()
		if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0); err != nil {
			n.t.Fatal(err)
		}
	})
}

// onThread calls f on a thread that nothing else runs on afterwards: it dies
// with its goroutine, even if f ends that.
func onThread(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The first thread can't die, and /proc/PID shows where it is left.
			err = onThread(f)
			runtime.UnlockOSThread()
			return
		}
		err = f()
	}()
	<-done
	return err
}
