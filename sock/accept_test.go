package sock

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

var _ Source = FD(0)

func TestAccept(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			l := k.listen(t, 4)
			c, err := k.dial(t, l)
			if err != nil && !errors.Is(err, unix.EINPROGRESS) {
				t.Fatal(err)
			}
			await(t, l.Descriptor(), unix.POLLIN)
			conn, peer, err := l.Accept()
			closing(t, conn, err)
			for what, ask := range map[string]func() (Addr, error){"the client's own": c.Getsockname, "the connection's peer": conn.Getpeername} {
				if a, err := ask(); a != peer || err != nil {
					t.Errorf("accepted from %v, but %s is %v, %v", peer, what, a, err)
				}
			}
			if peer.Family() != k.family || (k.family == Unix) == (peer.Port() != 0) {
				t.Errorf("accepted from %v of %v", peer, peer.Family())
			}
			if _, _, err := l.Accept(); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("a second Accept: %v, want EAGAIN", err)
			}
			_, err = c.Write([]byte("x"))
			check(t, err)
			await(t, conn, unix.POLLIN)
			if n, err := conn.Read(make([]byte, 8)); n != 1 || err != nil {
				t.Errorf("Read: %d, %v", n, err)
			}
		})
	}
}

// An IPv4 client of a dual-stack listener.
func TestAcceptMapped(t *testing.T) {
	testleak.FDs(t)
	l := dualStack.listen(t, 1)
	a, err := l.Getsockname()
	check(t, err)
	c := tcp4.socket(t)
	err = c.Connect(IPAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(a.Port()))))
	if !errors.Is(err, unix.EINPROGRESS) {
		check(t, err)
	}
	_, peer := acceptOne(t, l)
	own, err := c.Getsockname()
	check(t, err)
	if peer.Family() != Inet6 || own.Family() != Inet {
		t.Errorf("families %v and %v", peer.Family(), own.Family())
	}
	if peer == own || peer.AddrPort() != own.AddrPort() || peer.String() != own.String() {
		t.Errorf("accepted from %v, the client is %v", peer, own)
	}
}

func TestAcceptAllocs(t *testing.T) {
	const runs = 20
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			l := k.listen(t, runs+1)
			for range runs + 1 { // AllocsPerRun warms up with one
				c, err := k.dial(t, l)
				if err != nil && !errors.Is(err, unix.EINPROGRESS) {
					t.Fatal(err)
				}
				await(t, c, unix.POLLOUT)
			}
			conns := make([]FD, 0, runs+1)
			allocs := testing.AllocsPerRun(runs, func() {
				fd, _, err := l.Accept()
				if err == nil {
					conns = append(conns, fd)
				}
			})
			for _, fd := range conns {
				closing(t, fd, nil)
			}
			if len(conns) != runs+1 {
				t.Fatalf("accepted %d connections", len(conns))
			}
			if allocs != 0 {
				t.Errorf("Accept allocates %v times", allocs)
			}
			if n := testing.AllocsPerRun(runs, func() { l.Accept() }); n != 0 {
				t.Errorf("Accept from an empty queue allocates %v times", n)
			}
		})
	}
}

// A connection that its client has reset is accepted and then fails.
func TestAcceptReset(t *testing.T) {
	testleak.FDs(t)
	l := tcp4.listen(t, 1)
	a, err := l.Getsockname()
	check(t, err)
	c, err := Socket(Inet, Stream, 0)
	check(t, err)
	if err := c.Connect(a); !errors.Is(err, unix.EINPROGRESS) {
		check(t, err)
	}
	await(t, c, unix.POLLOUT)
	own, err := c.Getsockname()
	check(t, err)
	check(t, Linger.Set(c, LingerConfig{On: true}))
	check(t, c.Close())
	conn, peer := acceptOne(t, l)
	if peer != own {
		t.Errorf("accepted from %v, want %v", peer, own)
	}
	if _, err := conn.Getpeername(); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("Getpeername: %v, want ENOTCONN", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("Read: %v, want ECONNRESET", err)
	}
}

// Without a free descriptor the connection stays in the queue.
func TestAcceptEMFILE(t *testing.T) {
	testleak.FDs(t)
	l := tcp4.listen(t, 1)
	c, _ := tcp4.dial(t, l)
	await(t, c, unix.POLLOUT)
	await(t, l, unix.POLLIN)

	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	lowest, err := l.Dup()
	check(t, err)
	check(t, lowest.Close())
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowest), Max: old.Max}))
	_, _, full := l.Accept()
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	if !errors.Is(full, unix.EMFILE) {
		t.Errorf("Accept: %v, want EMFILE", full)
	}
	acceptOne(t, l)
}

// A signal interrupts a blocking call on a socket with a timeout, even one whose
// handler has SA_RESTART: signal(7).
func TestInterrupted(t *testing.T) {
	const timeout = time.Minute
	for _, c := range []struct {
		name  string
		trap  uintptr
		setup func(t *testing.T) (fd FD, raw func(FD) error, call func(FD) error, release func())
	}{
		{"Accept", unix.SYS_ACCEPT4, func(t *testing.T) (FD, func(FD) error, func(FD) error, func()) {
			l := tcp4.listen(t, 1)
			check(t, RcvTimeo.Set(l, timeout))
			return l,
				func(l FD) error {
					_, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(l), 0, 0, 0, 0, 0)
					return errno
				},
				func(l FD) error { fd, _, err := l.Accept(); fd.Close(); return err },
				func() { tcp4.dial(t, l) }
		}},
		{"Read", unix.SYS_READ, func(t *testing.T) (FD, func(FD) error, func(FD) error, func()) {
			a, b := unixPair(t)
			check(t, RcvTimeo.Set(a, timeout))
			return a,
				func(a FD) error { _, err := unix.Read(int(a), make([]byte, 1)); return err },
				func(a FD) error { _, err := a.Read(make([]byte, 1)); return err },
				func() { b.Write([]byte("x")) }
		}},
		{"Write", unix.SYS_WRITE, func(t *testing.T) (FD, func(FD) error, func(FD) error, func()) {
			a, b := unixPair(t)
			check(t, SndTimeo.Set(a, timeout))
			chunk := make([]byte, 4096)
			for _, err := a.Write(chunk); err == nil; {
				_, err = a.Write(chunk)
			}
			return a,
				func(a FD) error { _, err := unix.Write(int(a), chunk); return err },
				func(a FD) error { _, err := a.Write(chunk); return err },
				func() {
					for buf := make([]byte, 1<<16); ; {
						if _, err := b.Read(buf); err != nil {
							return
						}
					}
				}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testleak.FDs(t)
			fd, raw, call, release := c.setup(t)
			check(t, unix.SetNonblock(int(fd), false))

			thread, done := inThread(func() error { return raw(fd) })
			interrupt(t, thread, c.trap)
			if err := <-done; err != unix.EINTR {
				t.Fatalf("the bare system call: %v, want EINTR", err)
			}

			thread, done = inThread(func() error { return call(fd) })
			interrupt(t, thread, c.trap)
			release()
			if err := <-done; err != nil {
				t.Errorf("interrupted: %v", err)
			}
		})
	}
}

// inThread runs f in a thread of its own.
func inThread(f func() error) (thread int, done <-chan error) {
	id, result := make(chan int), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		id <- unix.Gettid()
		result <- f()
	}()
	return <-id, result
}

// interrupt sends a signal to the thread once it is blocked in the system call.
func interrupt(t *testing.T, thread int, trap uintptr) {
	t.Helper()
	task := "/proc/self/task/" + strconv.Itoa(thread)
	eventually(t, "the thread is blocked in its call", func() bool {
		call, err := os.ReadFile(task + "/syscall")
		if err != nil {
			t.Skip(err)
		}
		stat, _ := os.ReadFile(task + "/stat")
		_, state, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(string(call), strconv.Itoa(int(trap))+" ") && strings.HasPrefix(state, "S")
	})
	check(t, unix.Tgkill(os.Getpid(), thread, unix.SIGURG))
	eventually(t, "the signal has been taken", func() bool {
		status, err := os.ReadFile(task + "/status")
		return err != nil || strings.Contains(string(status), "SigPnd:\t0000000000000000")
	})
}
