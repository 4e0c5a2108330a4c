package survey

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/sock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen makes a listener in the namespace that accepts nothing by itself.
func listen(t *testing.T, n *netns.Namespace, addr string, backlog int, reuse bool) sock.FD {
	t.Helper()
	var fd sock.FD
	a := sock.IPAddr(netip.MustParseAddrPort(addr))
	n.Do(func() {
		var err error
		if fd, err = sock.Socket(a.Family(), sock.Stream, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fd.Close() })
		if reuse {
			if err := sock.ReusePort.Set(fd, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := fd.Bind(a); err != nil {
			t.Fatal(err)
		}
		if err := fd.Listen(backlog); err != nil {
			t.Fatal(err)
		}
	})
	return fd
}

// connect begins many connections, and leaves them to the test's end.
func connect(t *testing.T, n *netns.Namespace, addr string, many int) (clients []int) {
	t.Helper()
	ap := netip.MustParseAddrPort(addr)
	n.Do(func() {
		for range many {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()})
			if err != nil && err != unix.EINPROGRESS {
				t.Fatal(err)
			}
			clients = append(clients, fd)
		}
	})
	return clients
}

// open begins to watch the namespace.
func open(t *testing.T, n *netns.Namespace, o Options) *Survey {
	t.Helper()
	o.Netns = []string{n.Path()}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// until polls for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in 10 s it never held that ", what)
		}
	}
}

func row(t *testing.T, r *Report, local string) Row {
	t.Helper()
	for _, row := range r.Listeners {
		if row.Local == local {
			return row
		}
	}
	t.Fatalf("no row %s among %+v", local, r.Listeners)
	return Row{}
}

func findings(r *Report, local string) (codes []string) {
	for _, f := range r.Findings {
		if f.Local == local {
			codes = append(codes, f.Code)
		}
	}
	return codes
}
