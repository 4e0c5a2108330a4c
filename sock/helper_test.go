package sock

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv(traceChildEnv) != "" {
		traceChild()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// A kind is what one can listen on here without root and without a network.
type kind struct {
	family Family
	typ    Type
	proto  Protocol
	local  Addr // unix: unnamed, so that the kernel chooses an abstract name
}

var (
	tcp4      = kind{Inet, Stream, 0, IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))}
	tcp6      = kind{Inet6, Stream, 0, IPAddr(netip.MustParseAddrPort("[::1]:0"))}
	dualStack = kind{Inet6, Stream, 0, IPAddr(netip.MustParseAddrPort("[::]:0"))}
	unixS     = kind{Unix, Stream, 0, UnixAddr("")}
	seqPacket = kind{Unix, SeqPacket, 0, UnixAddr("")}
	mptcp     = kind{Inet, Stream, MPTCP, tcp4.local}
	vsock     = kind{Vsock, Stream, 0, VsockAddr(unix.VMADDR_CID_ANY, unix.VMADDR_PORT_ANY)}

	kinds = map[string]kind{"tcp4": tcp4, "tcp6": tcp6, "unix": unixS, "seqpacket": seqPacket}
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// closing gives fd to the test, which closes it at its end.
func closing(t testing.TB, fd FD, err error) FD {
	t.Helper()
	check(t, err)
	t.Cleanup(func() { fd.Close() })
	return fd
}

func (k kind) socket(t testing.TB) FD {
	t.Helper()
	fd, err := Socket(k.family, k.typ, k.proto)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Skipf("this kernel has no %v %v: %v", k.family, k.proto, err)
	}
	return closing(t, fd, err)
}

func (k kind) bound(t testing.TB, setup ...func(FD) error) FD {
	t.Helper()
	fd := k.socket(t)
	for _, f := range setup {
		check(t, f(fd))
	}
	check(t, fd.Bind(k.local))
	return fd
}

func (k kind) listen(t testing.TB, backlog int, setup ...func(FD) error) FD {
	t.Helper()
	fd := k.bound(t, setup...)
	check(t, fd.Listen(backlog))
	return fd
}

// dial begins a connection to l and says what connect said.
func (k kind) dial(t testing.TB, l FD) (FD, error) {
	t.Helper()
	a, err := l.Getsockname()
	check(t, err)
	c := k.socket(t)
	return c, c.Connect(a)
}

// connected is both ends of a connection through l, the client's first.
func (k kind) connected(t testing.TB, l FD) (client, server FD) {
	t.Helper()
	c, err := k.dial(t, l)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Fatal(err)
	}
	s, _ := acceptOne(t, l)
	await(t, c, unix.POLLOUT)
	err, sockErr := SockError.Get(c)
	check(t, sockErr)
	check(t, err)
	return c, s
}

func acceptOne(t testing.TB, l FD) (FD, Addr) {
	t.Helper()
	await(t, l, unix.POLLIN)
	fd, a, err := l.Accept()
	return closing(t, fd, err), a
}

// await blocks until fd is ready for events, and fails after ten seconds.
func await(t testing.TB, fd FD, events int16) {
	t.Helper()
	if !ready(t, fd, events, 10*time.Second) {
		t.Fatalf("descriptor %d isn't ready for %#x", fd, events)
	}
}

func ready(t testing.TB, fd FD, events int16, timeout time.Duration) bool {
	t.Helper()
	for end := time.Now().Add(timeout); ; {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p, int(max(time.Until(end), 0)/time.Millisecond))
		if err != unix.EINTR {
			check(t, err)
			return n > 0
		}
	}
}

// eventually fails the test unless ok becomes true within ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// kernelOlder reports whether the running kernel is older than version, "6.5".
func kernelOlder(t testing.TB, version string) bool {
	t.Helper()
	var u unix.Utsname
	check(t, unix.Uname(&u))
	running := versionNumbers(unix.ByteSliceToString(u.Release[:]))
	for i, n := range versionNumbers(version) {
		if running[i] != n {
			return running[i] < n
		}
	}
	return false
}

// versionNumbers are the three leading numbers of a release, "6.18.44-generic".
func versionNumbers(release string) (n [3]int) {
	for i, s := range strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' }) {
		if i == len(n) {
			break
		}
		n[i], _ = strconv.Atoi(s)
	}
	return n
}

func sysctl(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		t.Skip(err)
	}
	return strings.TrimSpace(string(b))
}
