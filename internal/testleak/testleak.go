// Package testleak fails a test that leaves a descriptor or a child behind.
package testleak

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	_ "onconn/internal/linux"
)

// FDs compares the process's descriptors now with those at the end of the test,
// after its other cleanups, and fails it if some stay open for 10 s. Tests
// that call it must not run in parallel with others.
func FDs(t testing.TB) {
	t.Helper()
	warmPoller()
	before := open()
	t.Cleanup(func() {
		var left []string
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			left = extra(before, open())
			if len(left) == 0 {
				return
			}
			if time.Now().After(end) {
				break
			}
		}
		t.Errorf("descriptors left open:\n\t%s", strings.Join(left, "\n\t"))
	})
}

// Zombies fails the test if a child that nobody waited for is left at its end.
func Zombies(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != nil && !errors.Is(err, unix.ECHILD) {
			t.Errorf("waitid: %v", err)
		}
		if info.Signo != 0 {
			t.Error("a child that exited was never waited for")
		}
	})
}

// warmPoller makes the runtime open its epoll instance, which stays for good.
func warmPoller() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
}

func open() map[string]string {
	fds := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && !strings.HasPrefix(target, fmt.Sprintf("/proc/%d/fd", os.Getpid())) {
			fds[e.Name()] = target
		}
	}
	return fds
}

func extra(before, now map[string]string) (left []string) {
	for fd, target := range now {
		if before[fd] != target {
			left = append(left, fd+" -> "+target)
		}
	}
	slices.Sort(left)
	return left
}
