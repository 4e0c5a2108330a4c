package sock

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

func unixPair(t testing.TB) (FD, FD) {
	t.Helper()
	a, b, err := Pair(Stream)
	closing(t, a, err)
	return a, closing(t, b, nil)
}

// refused is a client that nobody listened for.
func refused(t *testing.T) FD {
	c, err := tcp4.dial(t, tcp4.bound(t))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Skipf("connect fails at once: %v", err)
	}
	await(t, c, unix.POLLOUT)
	return c
}

// testFilter tries SO_ATTACH_FILTER, that connections inherit it, and
// SO_DETACH_FILTER.
func testFilter(t *testing.T) {
	a, b := datagramPair(t)
	send := func(want string) {
		t.Helper()
		_, err := a.Write([]byte(want))
		check(t, err)
	}
	check(t, AttachFilter.Set(b, reject))
	send("dropped")
	check(t, DetachFilter.Set(b, struct{}{}))
	send("passes")
	var buf [16]byte
	n, err := b.Read(buf[:])
	check(t, err)
	if got := string(buf[:n]); got != "passes" {
		t.Errorf("received %q", got)
	}
	if err := DetachFilter.Set(b, struct{}{}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a second DetachFilter: %v, want ENOENT", err)
	}

	pass := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16}}
	l := tcp4.bound(t)
	supported(t, AttachFilter.Info(), AttachFilter.Set(l, pass))
	check(t, l.Listen(1))
	_, conn := tcp4.connected(t, l)
	if err := DetachFilter.Set(conn, struct{}{}); err != nil {
		t.Errorf("the connection has no filter: %v", err)
	}
}

func datagramPair(t testing.TB) (FD, FD) {
	t.Helper()
	a, b, err := Pair(unix.SOCK_DGRAM)
	closing(t, a, err)
	return a, closing(t, b, nil)
}

// testSteering has a group of two listeners whose program sends every
// connection to the second and then to the first.
func testSteering(t *testing.T, attach func(fd FD, index uint32) error) {
	share := func(fd FD) error { return ReusePort.Set(fd, true) }
	first := tcp4.listen(t, 8, share)
	second := tcp4.socket(t)
	check(t, share(second))
	a, err := first.Getsockname()
	check(t, err)
	check(t, second.Bind(a))
	check(t, second.Listen(8))
	for index, l := range []FD{first, second} {
		check(t, attach(first, uint32(index)))
		for range 4 {
			tcp4.connected(t, l)
		}
	}
}

// loadProgram loads "return index" as an eBPF program for SO_REUSEPORT groups.
func loadProgram(t *testing.T, index uint32) FD {
	t.Helper()
	type instruction struct {
		code, registers uint8
		offset          int16
		imm             uint32
	}
	code := []instruction{
		{unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K, 0, 0, index},
		{unix.BPF_JMP | unix.BPF_EXIT, 0, 0, 0},
	}
	license := []byte("GPL\x00")
	attr := struct {
		progType, count uint32
		code, license   unsafe.Pointer
		logLevel, size  uint32
		log             unsafe.Pointer
	}{progType: unix.BPF_PROG_TYPE_SOCKET_FILTER, count: uint32(len(code)),
		code: unsafe.Pointer(&code[0]), license: unsafe.Pointer(&license[0])}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno == unix.EPERM && os.Geteuid() != 0 {
		t.Skip("loading an eBPF program needs CAP_BPF")
	}
	if errno != 0 {
		t.Fatal("bpf: ", errno)
	}
	return closing(t, FD(fd), nil)
}

// testForce sets more than the sysctl allows, and that connections inherit it.
func testForce(t *testing.T, force, plain Option[int]) {
	const size = 64 << 20
	set := func(fd FD) error { return force.Set(fd, size) }
	supported(t, force.Info(), set(tcp4.socket(t)))
	_, conn := tcp4.connected(t, tcp4.listen(t, 1, set))
	if got, err := plain.Get(conn); got != 2*size || err != nil {
		t.Errorf("%v on the connection reads back %d, %v, want %d", plain, got, err, 2*size)
	}
}

// fastOpenKeyRow isn't a readWrite row: slices don't compare.
func fastOpenKeyRow() row {
	key := []byte("0123456789abcdefFEDCBA9876543210")
	get := func(fd FD) (any, error) { k, err := FastOpenKey.Get(fd); return string(k), err }
	set := func(fd FD) error { return FastOpenKey.Set(fd, key) }
	return row{Info: FastOpenKey.Info(), kind: tcp4, get: get, set: set, test: func(t *testing.T) {
		fd := tcp4.socket(t)
		for _, key := range [][]byte{key, key[:16]} {
			supported(t, FastOpenKey.Info(), FastOpenKey.Set(fd, key))
			if got, err := get(fd); got != string(key) || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, key)
			}
		}
		if err := FastOpenKey.Set(fd, key[:5]); !errors.Is(err, unix.EINVAL) {
			t.Errorf("a key of 5 bytes: %v, want EINVAL", err)
		}
	}}
}

// testULP can only set what the kernel has been built with.
func testULP(t *testing.T, fd FD) {
	if got, err := ULP.Get(fd); got != "" || err != nil {
		supported(t, ULP.Info(), err)
		t.Errorf("at first it is %q, %v", got, err)
	}
	err := ULP.Set(fd, "tls")
	if !slices.Contains(strings.Fields(sysctl(t, "net.ipv4.tcp_available_ulp")), "tls") {
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("set to what the kernel hasn't: %v, want ENOENT", err)
		}
		return
	}
	check(t, err)
	if got, err := ULP.Get(fd); got != "tls" || err != nil {
		t.Errorf("reads back %q, %v, want tls", got, err)
	}
}

// otherCongestion is an algorithm that isn't the default one.
func otherCongestion() string {
	allowed, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
	used, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	for _, name := range strings.Fields(string(allowed)) {
		if name != strings.TrimSpace(string(used)) {
			return name
		}
	}
	return "reno"
}

// A value that is longer than expected is asked for again.
func TestLongBlob(t *testing.T) {
	testleak.FDs(t)
	_, conn := tcp4.connected(t, tcp4.listen(t, 1, func(fd FD) error { return SaveSyn.Set(fd, true) }))
	short, err := blob(8).get(conn, unix.SOL_TCP, unix.TCP_SAVED_SYN)
	if err != nil || len(short) < 40 {
		t.Errorf("got %d bytes, %v", len(short), err)
	}
	if again, err := SavedSyn.Get(conn); len(again) != 0 || err != nil {
		t.Errorf("a second time: %d bytes, %v, want none", len(again), err)
	}
}
