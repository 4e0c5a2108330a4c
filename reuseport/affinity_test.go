package reuseport

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
)

// onCPU calls f on a thread that runs on one CPU only.
func onCPU(t *testing.T, cpu int, f func()) {
	t.Helper()
	var all, one unix.CPUSet
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Skip("may not use CPU ", cpu, ": ", err)
	}
	defer unix.SchedSetaffinity(0, &all)
	f()
}

// cookieNamespace answers each SYN with a cookie.
func cookieNamespace(t *testing.T) *netns.Namespace {
	ns := netns.New(t)
	ns.Sysctl("ipv4/tcp_syncookies", "2")
	return ns
}
