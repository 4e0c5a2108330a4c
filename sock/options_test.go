package sock

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// A row tests one option of the catalogue.
type row struct {
	Info
	kind kind             // what to try it on, and whether connections inherit it
	test func(*testing.T) // Set and Get give what the kernel makes of the value

	set  func(FD) error        // to other than the default
	late bool                  // set only works on a socket that listens
	get  func(FD) (any, error) // comparable
}

type step[T comparable] struct{ set, want T }

// readWrite is the row of an option that reads back as want after set.
func readWrite[T comparable](o Option[T], k kind, steps ...step[T]) row {
	return row{Info: o.Info(), kind: k,
		test: func(t *testing.T) {
			fd := k.socket(t)
			for _, s := range steps {
				supported(t, o.Info(), o.Set(fd, s.set))
				got, err := o.Get(fd)
				check(t, err)
				if got != s.want {
					t.Errorf("set to %v: reads back %v, want %v", s.set, got, s.want)
				}
			}
		},
		set: func(fd FD) error { return o.Set(fd, steps[0].set) },
		get: func(fd FD) (any, error) { return o.Get(fd) },
	}
}

func flagRow(o Option[bool], k kind) row {
	return readWrite(o, k, step[bool]{true, true}, step[bool]{false, false})
}

func valueRow[T comparable](o Option[T], k kind, v T) row {
	return readWrite(o, k, step[T]{v, v})
}

func late(r row) row {
	r.late = true
	return r
}

// readOnly is the row of an option whose value on the descriptor of on ok judges.
func readOnly[T any](o Option[T], on func(*testing.T) FD, ok func(*testing.T, T) bool) row {
	return row{Info: o.Info(), test: func(t *testing.T) {
		fd := on(t)
		v, err := o.Get(fd)
		supported(t, o.Info(), err)
		if !ok(t, v) {
			t.Errorf("got %v", v)
		}
		var zero T
		if err := o.Set(fd, zero); !errors.Is(err, unix.ENOPROTOOPT) {
			t.Errorf("Set: %v, want ENOPROTOOPT", err)
		}
		one := int32(1)
		if err := setsockopt(fd, o.info.Level, o.info.Number, unsafe.Pointer(&one), 4); err != unix.ENOPROTOOPT {
			t.Errorf("setsockopt: %v, want ENOPROTOOPT", err)
		}
	}}
}

// writeOnly is the row of an option that test tries out.
func writeOnly[T any](o Option[T], test func(*testing.T)) row {
	return row{Info: o.Info(), test: func(t *testing.T) {
		if _, err := o.Get(tcp4.socket(t)); !errors.Is(err, unix.ENOPROTOOPT) {
			t.Errorf("Get: %v, want ENOPROTOOPT", err)
		}
		test(t)
	}}
}

// supported skips the test if the kernel is too old for the option, and fails it
// if the kernel lacks the option though it is not.
func supported(t *testing.T, o Info, err error) {
	t.Helper()
	switch {
	case errors.Is(err, unix.ENOPROTOOPT) && o.Since != "" && kernelOlder(t, o.Since):
		t.Skipf("%s needs Linux %s: %v", o.Name, o.Since, err)
	case errors.Is(err, os.ErrPermission) && os.Geteuid() != 0:
		t.Skipf("%s needs root: %v", o.Name, err)
	}
	check(t, err)
}

func TestOptions(t *testing.T) {
	rows := map[string]row{}
	for _, r := range slices.Concat(socketRows(), tcpRows(), ipRows(), vsockRows()) {
		if _, twice := rows[r.Name]; twice {
			t.Errorf("%s has two rows", r.Name)
		}
		rows[r.Name] = r
	}
	for _, o := range Options() {
		r, ok := rows[o.Name]
		if !ok {
			t.Errorf("no row tests %s", o.Name)
			continue
		}
		t.Run(o.Name, func(t *testing.T) {
			testleak.FDs(t)
			r.test(t)
		})
		if o.Access == ReadWrite && r.kind != vsock {
			t.Run(o.Name+"/inherited", func(t *testing.T) {
				testleak.FDs(t)
				testInherited(t, r)
			})
		}
	}
}

// testInherited compares a connection of a listener that has the option with
// one of a listener that has the default.
func testInherited(t *testing.T, r row) {
	l := r.kind.socket(t)
	if !r.late {
		supported(t, r.Info, r.set(l))
	}
	check(t, l.Bind(r.kind.local))
	check(t, l.Listen(1))
	if r.late {
		supported(t, r.Info, r.set(l))
	}
	plain := connectionOf(t, r.kind, r.kind.listen(t, 1))
	conn := connectionOf(t, r.kind, l)

	var values [3]any
	for i, fd := range []FD{l, plain, conn} {
		v, err := r.get(fd)
		check(t, err)
		values[i] = v
	}
	listener, without, with := values[0], values[1], values[2]
	if listener == without {
		t.Fatalf("%v is the default, so that it proves nothing", listener)
	}
	if inherited := with == listener; inherited != r.Inherited {
		t.Errorf("listener has %v, its connection %v, another connection %v: Inherited is %v",
			listener, with, without, r.Inherited)
	}
}

// connectionOf sends a byte too, since TCP_DEFER_ACCEPT waits for one.
func connectionOf(t *testing.T, k kind, l FD) FD {
	c, err := k.dial(t, l)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Fatal(err)
	}
	await(t, c, unix.POLLOUT)
	_, err = c.Write([]byte("x"))
	check(t, err)
	s, _ := acceptOne(t, l)
	return s
}

func TestCatalogue(t *testing.T) {
	names := map[string]bool{}
	for _, o := range Options() {
		if names[o.Name] {
			t.Errorf("%s is there twice", o.Name)
		}
		names[o.Name] = true
		if got, ok := Lookup(o.Level, o.Number); !ok || got != o {
			t.Errorf("Lookup(%d, %d) = %+v, want %+v", o.Level, o.Number, got, o)
		}
		prefix := map[int][]string{
			unix.SOL_SOCKET: {"SO_"}, unix.SOL_TCP: {"TCP_"}, unix.SOL_IP: {"IP_"},
			unix.SOL_IPV6: {"IPV6_"}, unix.AF_VSOCK: {"SO_VM_SOCKETS_"},
		}[o.Level]
		if len(prefix) == 0 || !strings.HasPrefix(o.Name, prefix[0]) {
			t.Errorf("%s is at level %s", o.Name, LevelName(o.Level))
		}
		if o.Unit == "" || !strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s: unit %q, doc %q", o.Name, o.Unit, o.Doc)
		}
		if o.Since != "" && versionNumbers(o.Since)[0] < 2 {
			t.Errorf("%s: since %q", o.Name, o.Since)
		}
	}
	if _, ok := Lookup(unix.SOL_SOCKET, 1<<20); ok {
		t.Error("Lookup found an option that isn't")
	}

	// The files are sorted, as Options is, within each level.
	for _, all := range [][]Info{Options(), catalogue} {
		byLevel := map[int][]string{}
		for _, o := range all {
			byLevel[o.Level] = append(byLevel[o.Level], o.Name)
		}
		for level, names := range byLevel {
			if !slices.IsSorted(names) {
				t.Errorf("%s isn't sorted: %v", LevelName(level), names)
			}
		}
	}
	if !slices.IsSortedFunc(Options(), func(a, b Info) int { return cmp.Compare(a.Level, b.Level) }) {
		t.Error("Options isn't sorted by level")
	}
}

// The kernel's headers, where they are installed, give each name its number.
func TestNames(t *testing.T) {
	if !slices.Contains([]string{"amd64", "386", "arm64", "arm", "riscv64", "loong64", "s390x"}, runtime.GOARCH) {
		t.Skip("asm-generic isn't for ", runtime.GOARCH)
	}
	headers := map[int]string{
		unix.SOL_SOCKET: "asm-generic/socket.h", unix.SOL_TCP: "linux/tcp.h", unix.SOL_IP: "linux/in.h",
		unix.SOL_IPV6: "linux/in6.h", unix.AF_VSOCK: "linux/vm_sockets.h",
	}
	constants := map[string]int{}
	for _, h := range append(slices.Collect(maps.Values(headers)), "linux/version.h") {
		b, err := os.ReadFile("/usr/include/" + h)
		if err != nil {
			t.Skip(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^#define\s+([A-Z]\w+)\s+(\d+)\b`).FindAllStringSubmatch(string(b), -1) {
			constants[m[1]], _ = strconv.Atoi(m[2])
		}
	}
	version := constants["LINUX_VERSION_CODE"]
	for _, o := range Options() {
		name := o.Name
		if _, ok := constants[name]; !ok {
			name += "_OLD" // since 5.1 a timeval's size is in its option's name
		}
		number, ok := constants[name]
		since := versionNumbers(o.Since)
		switch {
		case ok && number != o.Number:
			t.Errorf("%s is %d, the headers say %d", o.Name, o.Number, number)
		case !ok && version >= since[0]<<16|since[1]<<8|since[2]:
			t.Errorf("the headers don't know %s", o.Name)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	testleak.FDs(t)
	fd := tcp4.socket(t)
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"int beyond 32 bits", RcvBuf.Set(fd, math.MaxInt), unix.EINVAL},
		{"time beyond 32 bits", KeepIdle.Set(fd, 1<<62), unix.EINVAL},
		{"longest time", UserTimeout.Set(fd, 1<<63-1), unix.EINVAL},
		{"negative time", KeepIdle.Set(fd, -time.Second), unix.EINVAL},
		{"negative fraction", KeepIdle.Set(fd, -1), unix.EINVAL},
		{"negative timeval", RcvTimeo.Set(fd, -1), unix.EINVAL},
		{"negative linger", Linger.Set(fd, LingerConfig{On: true, Timeout: -1}), unix.EINVAL},
		{"linger beyond 32 bits", Linger.Set(fd, LingerConfig{On: true, Timeout: 1<<63 - 1}), unix.EINVAL},
		{"unknown name", Congestion.Set(fd, "nonesuch"), unix.ENOENT},
		{"name with NUL", Congestion.Set(fd, "reno\x00"), unix.EINVAL},
		{"name too long", Congestion.Set(fd, "reno............"), unix.ENAMETOOLONG},
		{"device too long", BindToDevice.Set(fd, "lo.............."), unix.ENAMETOOLONG},
		{"unknown device", BindToDevice.Set(fd, "nonesuch0"), unix.ENODEV},
		{"no program", AttachFilter.Set(fd, nil), unix.EINVAL},
		{"program too long", AttachFilter.Set(fd, make([]unix.SockFilter, 1<<16+1)), unix.EINVAL},
		{"ports out of order", LocalPortRange.Set(fd, PortRange{50000, 40000}), unix.EINVAL},
		{"no descriptor", NoDelay.Set(None, true), unix.EBADF},
		{"of another family", V6Only.Set(fd, true), unix.ENOPROTOOPT},
	} {
		var call *os.SyscallError
		if !errors.Is(c.err, c.want) || !errors.As(c.err, &call) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	err := NoDelay.Set(None, true)
	if want := "setsockopt TCP_NODELAY: bad file descriptor"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	_, err = NoDelay.Get(None)
	if want := "getsockopt TCP_NODELAY: bad file descriptor"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestOptionAllocs(t *testing.T) {
	testleak.FDs(t)
	fd := tcp4.socket(t)
	for name, f := range map[string]func(){
		"set flag":     func() { NoDelay.Set(fd, true) },
		"get flag":     func() { NoDelay.Get(fd) },
		"set number":   func() { RcvLowat.Set(fd, 1) },
		"get number":   func() { RcvLowat.Get(fd) },
		"set duration": func() { KeepIdle.Set(fd, time.Minute) },
		"get struct":   func() { TCPInfo.Get(fd) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
