package backlog

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

// opened is a namespace that the test's end closes.
func opened(t testing.TB, path string) *Namespace {
	t.Helper()
	n, err := OpenNamespace(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestOwnNamespace(t *testing.T) {
	testleak.FDs(t)
	_, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 7)
	n := opened(t, "")
	var file unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &file); err != nil || n.ID() != file.Ino || n.Path() != "" {
		t.Errorf("it is %d, %q; not %d, %v", n.ID(), n.Path(), file.Ino, err)
	}
	if _, err := n.Lookup(addr.AddrPort(), 0); err != nil {
		t.Error(err)
	}
}

// A thread may be elsewhere than the process.
func TestThreadNamespace(t *testing.T) {
	testleak.FDs(t)
	other := netns.New(t)
	other.Sysctl("core/somaxconn", "77")
	var n *Namespace
	other.Do(func() {
		listening(t, inet("127.0.0.1:80"), sock.Stream, 0, 7)
		n = opened(t, "")
	})
	only80(t, n, other.ID())
}

// only80 expects a namespace with somaxconn 77 and one listener, on port 80.
func only80(t *testing.T, n *Namespace, id uint64) {
	t.Helper()
	if n.ID() != id {
		t.Errorf("its ID is %d, not %d", n.ID(), id)
	}
	all, err := n.Listeners()
	if err != nil || len(all) != 1 || all[0].Addr.Port() != 80 {
		t.Errorf("listeners %v, %v", all, err)
	}
	if s, err := n.Sysctls(); err != nil || s.Somaxconn != 77 {
		t.Errorf("%+v, %v", s, err)
	}
	if c, err := n.Counters(); err != nil || c["TcpPassiveOpens"] != 0 || len(c) < 100 {
		t.Errorf("%d counters, %d connections, %v", len(c), c["TcpPassiveOpens"], err)
	}
}

func TestNamespaceOutlivesItsPath(t *testing.T) {
	testleak.FDs(t)
	other := netns.New(t)
	id := other.ID()
	other.Sysctl("core/somaxconn", "77")
	n := opened(t, other.Path())
	if n.Path() != other.Path() {
		t.Errorf("its path is %s", n.Path())
	}
	other.Do(func() { listening(t, inet("127.0.0.1:80"), sock.Stream, 0, 7) })
	other.Close()
	if _, err := os.Stat(n.Path()); err == nil {
		t.Fatal("the path is still there")
	}
	only80(t, n, id)
	// The threads of the test are where they were.
	mine := opened(t, "")
	if mine.ID() == id {
		t.Error("a thread was left in the namespace")
	}
	// From any thread, and with the thread that opened it gone.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				only80(t, n, id)
			}
		})
	}
	all.Wait()
}

func TestOpenNamespaceErrors(t *testing.T) {
	testleak.FDs(t)
	if _, err := OpenNamespace("/run/netns/nonesuch"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to enter namespaces")
	}
	for _, path := range []string{"/proc/self/ns/mnt", "/dev/null", t.TempDir()} {
		if _, err := OpenNamespace(path); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTTY) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestClosedNamespace(t *testing.T) {
	testleak.FDs(t)
	n, err := OpenNamespace("")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	var got [8]error
	_, got[0] = n.Listeners()
	_, got[1] = n.UnixListeners()
	_, got[2] = n.Lookup(netip.MustParseAddrPort("127.0.0.1:80"), 0)
	_, got[3] = n.HalfOpen(0)
	_, got[4] = n.Waiting(0)
	_, got[5] = n.Connections()
	_, got[6] = n.Counters()
	_, got[7] = n.Sysctls()
	for i, err := range got {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := n.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
}

func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	testleak.FDs(t)
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 7)
	connect(t, addr)
	want(t, fd, Queue{1, 7})
	_, said := child(t, "read "+addr.String(), sock.None, &syscall.Credential{Uid: 65534, Gid: 65534})
	const sees = "{1 7} waiting 1 owners 0 counters true somaxconn true own <nil> other: permission denied"
	if said != sees {
		t.Errorf("another user sees %q, not %q", said, sees)
	}
}
