package backlog

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

// manyListening opens listeners in the namespace until the test ends.
func manyListening(t testing.TB, ns *netns.Namespace, count int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(count)+1000 {
		t.Skipf("needs %d descriptors, and the limit is %d, %v", count+1000, limit.Cur, err)
	}
	ns.Do(func() {
		for port := range count {
			fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { fd.Close() })
			addr := sock.IPAddr(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(1+port)))
			if err := fd.Bind(addr); err != nil {
				t.Fatal(err)
			}
			if err := fd.Listen(1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTenThousandListeners(t *testing.T) {
	testleak.FDs(t)
	const count = 10_000
	ns := netns.New(t)
	n := opened(t, ns.Path())
	manyListening(t, ns, count)
	best := time.Hour
	for range 5 {
		before := cpuUsed(t)
		all, err := n.Listeners()
		if best = min(best, cpuUsed(t)-before); err != nil || len(all) != count {
			t.Fatalf("%d listeners, %v", len(all), err)
		}
		seen := map[uint64]bool{}
		for _, l := range all {
			seen[l.Cookie] = true
		}
		if len(seen) != count {
			t.Errorf("%d different ones", len(seen))
		}
	}
	t.Logf("%d listeners in %v of CPU", count, best)
	if best > 400*time.Millisecond {
		t.Errorf("%v of CPU", best)
	}
}

// cpuUsed is what this process has used.
func cpuUsed(t *testing.T) time.Duration {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
