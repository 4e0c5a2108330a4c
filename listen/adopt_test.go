package listen_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

func TestOwnNetworks(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "s")
	for _, tt := range []struct {
		c                         listen.Config
		network, address, adopted string
	}{
		{listen.Config{}, "tcp", ":0", "tcp"},
		{listen.Config{}, "tcp4", "127.0.0.1:0", "tcp"},
		{listen.Config{MPTCP: true}, "tcp", "127.0.0.1:0", "tcp"},
		{listen.Config{}, "unix", path, "unix"},
		{listen.Config{}, "unixpacket", "", "unixpacket"},
	} {
		first := mustListen(t, tt.c, tt.network, tt.address)
		addr := first.Addr()
		fd, err := first.Release()
		if err != nil {
			t.Fatal(err)
		}
		l, err := listen.Config{}.Own(fd)
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().Network() != tt.adopted || l.Addr().String() != addr.String() {
			t.Errorf("%v is adopted as %s %v", addr, l.Addr().Network(), l.Addr())
		}
		if asked, granted := l.Backlog(); asked != 0 || granted != 511 {
			t.Errorf("backlog %d, %d", asked, granted)
		}
		l.Close()
	}
	if !exists(path) {
		t.Error("the file of an adopted socket is gone")
	}
}

// TestOwnRefuses leaves what it refuses to the caller, as it was.
func TestOwnRefuses(t *testing.T) {
	testleak.FDs(t)
	socket := func(typ sock.Type, bind bool) sock.FD {
		fd, err := sock.Socket(sock.Inet, typ, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fd.Close() })
		if bind {
			l := mustListen(t, listen.Config{}, "tcp4", "127.0.0.1:0")
			addr := l.Addr()
			l.Close()
			if err := fd.Bind(sock.FromNetAddr(addr)); err != nil {
				t.Fatal(err)
			}
		}
		return fd
	}
	l := mustListen(t, listen.Config{}, "tcp4", "127.0.0.1:0")
	connected := socket(sock.Stream, false)
	if err := connected.Connect(sock.FromNetAddr(l.Addr())); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Fatal(err)
	}
	accept(t, l)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	defer unix.Close(pipe[0])
	for _, tt := range []struct {
		name  string
		fd    sock.FD
		errno unix.Errno
		text  string
	}{
		{"bound", socket(sock.Stream, true), unix.EINVAL, "does not listen: call listen(2)"},
		{"fresh", socket(sock.Stream, false), unix.EINVAL, "neither bound nor listening"},
		{"connected", connected, unix.EINVAL, "is a connection to " + l.Addr().String()},
		{"datagrams", socket(unix.SOCK_DGRAM, true), unix.EINVAL, "does not listen"},
		{"pipe", sock.FD(pipe[0]), unix.ENOTSOCK, ""},
		{"none", sock.None, unix.EBADF, ""},
	} {
		l, err := listen.Config{}.Own(tt.fd)
		if err == nil {
			l.Close()
		}
		var op *net.OpError
		if !errors.Is(err, tt.errno) || !strings.Contains(err.Error(), tt.text) || !errors.As(err, &op) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.fd != sock.None {
			if _, err := unix.FcntlInt(uintptr(tt.fd), unix.F_GETFD, 0); err != nil {
				t.Errorf("%s: the refused descriptor: %v", tt.name, err)
			}
		}
	}
}

func TestOwnRefusesOtherProtocols(t *testing.T) {
	testleak.FDs(t)
	const sctp = 132
	fd, err := sock.Socket(sock.Inet, sock.Stream, sctp)
	if err != nil {
		t.Skip("no SCTP in this kernel: ", err)
	}
	defer fd.Close()
	if err := fd.Listen(1); err != nil {
		t.Fatal(err)
	}
	if _, err := (listen.Config{}).Own(fd); !errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Errorf("%v", err)
	}
}

// TestOwnPrepares sets what a descriptor from elsewhere may lack.
func TestOwnPrepares(t *testing.T) {
	testleak.FDs(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 5); err != nil {
		t.Fatal(err)
	}
	l, err := listen.Config{Backlog: 6}.Own(sock.FD(fd))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantBacklog(t, l, 6, 6)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("O_NONBLOCK is missing: %#x, %v", flags, err)
	}
	if flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("FD_CLOEXEC is missing: %#x, %v", flags, err)
	}
	if !get(t, sock.NoDelay, l.Descriptor()) || get(t, sock.KeepIdle, l.Descriptor()) != 15*time.Second {
		t.Error("connections will lack NODELAY or keep-alive")
	}
}

// TestCopy has both listeners work on one queue.
func TestCopy(t *testing.T) {
	testleak.FDs(t)
	original, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer original.Close()
	copied, err := listen.Config{}.Copy(original.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	for _, l := range []net.Listener{original, copied} {
		dial(t, original)
		accept(t, l)
	}
	original.Close()
	dial(t, copied)
	accept(t, copied)

	again, err := listen.Config{}.Copy(copied)
	if err != nil {
		t.Fatal(err)
	}
	copied.Close()
	dial(t, again)
	accept(t, again)
	again.Close()
}

func TestCopyRefuses(t *testing.T) {
	testleak.FDs(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	blocking := os.NewFile(uintptr(fd), "blocking")
	defer blocking.Close()
	if err := unix.Listen(fd, 5); err != nil {
		t.Fatal(err)
	}
	if l, err := (listen.Config{}).Copy(blocking); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "O_NONBLOCK") {
		t.Errorf("a blocking socket: %v, %v", l, err)
	}

	l := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0")
	if l, err := (listen.Config{}).Copy(dial(t, l).(*net.TCPConn)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a connection: %v, %v", l, err)
	}
	accept(t, l)
	l.Close()
	if _, err := (listen.Config{}).Copy(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}

// A socket that others accept from in blocking mode stays as it is, where that is
// wanted.
func TestOwnAsIs(t *testing.T) {
	testleak.FDs(t)
	for _, asIs := range []bool{false, true} {
		first := mustListen(t, listen.Config{}, "tcp", "127.0.0.1:0")
		fd, err := first.Release()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SetNonblock(int(fd), false); err != nil {
			t.Fatal(err)
		}
		l, err := listen.Config{AsIs: asIs}.Own(fd)
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if blocking := flags&unix.O_NONBLOCK == 0; err != nil || blocking != asIs {
			t.Errorf("AsIs %v: blocking %v, %v", asIs, blocking, err)
		}
		l.Close()
	}
}
