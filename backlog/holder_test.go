package backlog

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/sock"
)

func TestHoldersConflicts(t *testing.T) {
	v6only := func(fd sock.FD) error { return sock.V6Only.Set(fd, true) }
	dual := func(fd sock.FD) error { return sock.V6Only.Set(fd, false) }
	asked := []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "[::]"}
	for _, tt := range []struct {
		name   string
		addr   string
		before func(sock.FD) error
		found  []bool // for each that is asked
	}{
		{"loopback", "127.0.0.1:0", nil, []bool{true, false, true, false, true}},
		{"any IPv4", "0.0.0.0:0", nil, []bool{true, true, true, false, true}},
		{"loopback IPv6", "[::1]:0", v6only, []bool{false, false, false, true, true}},
		{"any IPv6", "[::]:0", v6only, []bool{false, false, false, true, true}},
		{"dual stack", "[::]:0", dual, []bool{true, true, true, true, true}},
		{"mapped", "[::ffff:127.0.0.1]:0", dual, []bool{true, false, true, false, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testleak.FDs(t)
			if tt.before == nil {
				tt.before = func(sock.FD) error { return nil }
			}
			a := sock.Addr{}
			if strings.Contains(tt.addr, "ffff") {
				a = mapped()
			} else {
				a = inet(tt.addr)
			}
			fd, addr := listening(t, a, sock.Stream, 0, 1, tt.before)
			for i, host := range asked {
				got, err := Holders(inet(host + ":" + strconv.Itoa(int(addr.Port()))))
				if err != nil {
					t.Fatal(err)
				}
				want := []Owner(nil)
				if tt.found[i] {
					want = []Owner{self(fd)}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%v asked for %s: %v, not %v", addr, host, got, want)
				}
			}
		})
	}
}

// mapped is ::ffff:127.0.0.1 as a dual-stack socket is bound to it.
func mapped() sock.Addr {
	var b [sock.WireSize]byte
	b[0] = unix.AF_INET6
	copy(b[12:], "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01")
	return sock.AddrFromWire(b)
}

func self(fd sock.FD) Owner {
	comm, _ := os.ReadFile("/proc/self/comm")
	return Owner{PID: os.Getpid(), Command: strings.TrimSpace(string(comm)), FD: int(fd), UID: os.Getuid()}
}

func TestHoldersBoundOnly(t *testing.T) {
	testleak.FDs(t)
	fd := bound(t, inet("127.0.0.1:0"), sock.Stream, 0)
	addr, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Holders(addr)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 {
		t.Skip("this kernel's inet_diag doesn't show bound sockets")
	}
	if got[0] != self(fd) {
		t.Errorf("%v, not %v", got, self(fd))
	}
}

func TestHoldersUnix(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	t.Chdir(dir)
	fd, _ := listening(t, sock.UnixAddr("relative"), sock.Stream, 0, 1)
	abstract, name := listening(t, sock.UnixAddr(""), sock.SeqPacket, 0, 1)
	if err := os.Rename("relative", "renamed"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("relative", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		addr sock.Addr
		want []Owner
	}{
		{sock.UnixAddr(filepath.Join(dir, "renamed")), []Owner{self(fd)}},
		{sock.UnixAddr("relative"), nil},
		{sock.UnixAddr("missing"), nil},
		{name, []Owner{self(abstract)}},
		{sock.UnixAddr("@" + dir), nil},
	} {
		if got, err := Holders(tt.addr); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %v, %v; not %v", tt.addr, got, err, tt.want)
		}
	}
}

func TestHoldersOtherProcess(t *testing.T) {
	testleak.Zombies(t)
	testleak.FDs(t)
	fd, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	pid, _ := child(t, "hold", fd, nil)
	if err := fd.Listen(1); err != nil {
		t.Fatal(err)
	}
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		t.Fatal(err)
	}
	want := Owner{PID: pid, Command: strings.TrimSpace(string(comm)), FD: 3, UID: os.Getuid()}
	got, err := Holders(addr)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != want && got[1] != want {
		t.Errorf("holders %v, of them %v", got, want)
	}
}

func TestHoldersUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	testleak.FDs(t)
	_, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1)
	_, said := child(t, "holders "+addr.String(), sock.None, &syscall.Credential{Uid: 65534, Gid: 65534})
	if said != "[a process of uid 0] <nil>" {
		t.Errorf("another user sees %q", said)
	}
}

func TestOwnerString(t *testing.T) {
	for want, o := range map[string]Owner{
		"nginx[-1] fd 6":      {PID: -1, Command: "nginx", FD: 6}, // never ours
		"a process of uid 33": {UID: 33},
		"this process, fd 6":  {PID: os.Getpid(), Command: "x", FD: 6},
	} {
		if o.String() != want {
			t.Errorf("%q, not %q", o, want)
		}
	}
}
