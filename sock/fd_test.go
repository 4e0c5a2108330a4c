package sock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

func TestSocketFlags(t *testing.T) {
	testleak.FDs(t)
	a, b := unixPair(t)
	l := tcp4.listen(t, 1)
	_, conn := tcp4.connected(t, l)
	for name, fd := range map[string]FD{"Socket": l, "Accept": conn, "Pair a": a, "Pair b": b} {
		status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		check(t, err)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		check(t, err)
		if status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: status %#x, flags %#x: not non-blocking and close-on-exec", name, status, flags)
		}
	}
}

func TestSocketErrors(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []struct {
		name string
		call string
		want error
		do   func() error
	}{
		{"no such family", "socket", unix.EAFNOSUPPORT, func() error { _, err := Socket(99, Stream, 0); return err }},
		{"no such protocol", "socket", unix.EPROTONOSUPPORT, func() error { _, err := Socket(Inet, Stream, unix.IPPROTO_UDP); return err }},
		{"pair of no type", "socketpair", unix.ESOCKTNOSUPPORT, func() error { _, _, err := Pair(9); return err }},
		{"bind to no address", "bind", unix.EAFNOSUPPORT, func() error { return tcp4.socket(t).Bind(Addr{}) }},
		{"bind to a foreign address", "bind", unix.EADDRNOTAVAIL, func() error {
			return tcp4.socket(t).Bind(FromNetAddr(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 1)}))
		}},
		{"bind to a used address", "bind", unix.EADDRINUSE, func() error {
			a, err := tcp4.listen(t, 1).Getsockname()
			check(t, err)
			return tcp4.socket(t).Bind(a)
		}},
		{"connect to nobody", "connect", unix.ECONNREFUSED, func() error { return unixS.socket(t).Connect(UnixAddr("@onconn-nobody")) }},
		{"listen on a datagram socket", "listen", unix.EOPNOTSUPP, func() error {
			fd, err := Socket(Inet, unix.SOCK_DGRAM, 0)
			return closing(t, fd, err).Listen(1)
		}},
		{"accept where nobody listens", "accept4", unix.EINVAL, func() error { _, _, err := tcp4.socket(t).Accept(); return err }},
		{"accept from an empty queue", "accept4", unix.EAGAIN, func() error { _, _, err := tcp4.listen(t, 1).Accept(); return err }},
		{"accept on a datagram socket", "accept4", unix.EOPNOTSUPP, func() error { a, _ := datagramPair(t); _, _, err := a.Accept(); return err }},
		{"shutdown without a peer", "shutdown", unix.ENOTCONN, func() error { return tcp4.socket(t).Shutdown(unix.SHUT_RDWR) }},
		{"peer without a peer", "getpeername", unix.ENOTCONN, func() error { _, err := tcp4.socket(t).Getpeername(); return err }},
		{"name of nothing", "getsockname", unix.EBADF, func() error { _, err := None.Getsockname(); return err }},
		{"read from an empty buffer", "read", unix.EAGAIN, func() error { a, _ := unixPair(t); _, err := a.Read(make([]byte, 1)); return err }},
		{"read from nothing", "read", unix.EBADF, func() error { _, err := None.Read(make([]byte, 1)); return err }},
		{"write to nobody", "write", unix.EPIPE, func() error {
			a, b := unixPair(t)
			check(t, b.Shutdown(unix.SHUT_RD))
			_, err := a.Write([]byte("x"))
			return err
		}},
		{"dup of nothing", "fcntl", unix.EBADF, func() error { _, err := None.Dup(); return err }},
		{"close of nothing", "close", unix.EBADF, func() error { return None.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			var call *os.SyscallError
			if !errors.Is(err, c.want) || !errors.As(err, &call) || call.Syscall != c.call {
				t.Errorf("%v, want %s: %v", err, c.call, c.want)
			}
		})
	}
}

func TestSocketFailureGivesNone(t *testing.T) {
	if fd, _ := Socket(99, Stream, 0); fd != None {
		t.Errorf("Socket gives %d", fd)
	}
	if a, b, _ := Pair(9); a != None || b != None {
		t.Errorf("Pair gives %d, %d", a, b)
	}
	if fd, a, _ := None.Accept(); fd != None || a.IsValid() {
		t.Errorf("Accept gives %d, %v", fd, a)
	}
	if fd, _ := None.Dup(); fd != None {
		t.Errorf("Dup gives %d", fd)
	}
}

// A backlog of n admits n+1 connections, to each kind of socket.
func TestListenAdmitsOneMore(t *testing.T) {
	for name, k := range kinds {
		for _, n := range []int{0, 1, 5, 16} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				testleak.FDs(t)
				l := k.listen(t, n)
				fill(t, k, l, n+1)
				for range n + 1 {
					acceptOne(t, l)
				}
				if _, _, err := l.Accept(); !errors.Is(err, unix.EAGAIN) {
					t.Errorf("one more than %d was queued: %v", n+1, err)
				}
			})
		}
	}
}

// fill makes n connections to l and finds that there is no room for another.
func fill(t *testing.T, k kind, l FD, n int) {
	t.Helper()
	for i := range n {
		c, err := k.dial(t, l)
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			t.Fatalf("connection %d of %d: %v", i+1, n, err)
		}
		await(t, c, unix.POLLOUT)
	}
	c, err := k.dial(t, l)
	if k.family == Unix {
		if !errors.Is(err, unix.EAGAIN) {
			t.Errorf("connection %d: %v, want EAGAIN", n+1, err)
		}
		return
	}
	// Its SYN was dropped within connect, so that no time helps.
	if ready(t, c, unix.POLLOUT, 0) {
		t.Errorf("connection %d was admitted too", n+1)
	}
	check(t, c.Shutdown(unix.SHUT_RDWR)) // or it would try again after a second
}

func TestListenBacklog(t *testing.T) {
	testleak.FDs(t)
	most, err := strconv.Atoi(sysctl(t, "net.core.somaxconn"))
	check(t, err)
	for _, c := range []struct {
		backlog int64
		limit   int
	}{
		{0, 0}, {7, min(7, most)}, {int64(most), most}, {int64(most) + 1, most},
		{-1, most}, {-5, most}, {1<<31 - 1, most}, {-1 << 31, most},
		{1 << 31, most}, {1<<32 + 3, most}, {1<<63 - 1, most},
		{-1 << 32, most}, {-1<<32 + 3, most}, {-1 << 63, most},
	} {
		info, err := TCPInfo.Get(tcp4.listen(t, int(c.backlog)))
		check(t, err)
		if int(info.Sacked) != c.limit {
			t.Errorf("Listen(%d) gives a limit of %d, want %d", c.backlog, info.Sacked, c.limit)
		}
	}
}

// Listening again resizes the queue and keeps what is in it.
func TestListenAgain(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			l := k.listen(t, 1)
			fill(t, k, l, 2)
			check(t, l.Listen(3))
			fill(t, k, l, 2)
			check(t, l.Listen(0))
			fill(t, k, l, 0)
			for range 4 {
				acceptOne(t, l)
			}
		})
	}
}

func TestShutdown(t *testing.T) {
	t.Run("write side", func(t *testing.T) {
		testleak.FDs(t)
		c, s := tcp4.connected(t, tcp4.listen(t, 1))
		check(t, c.Shutdown(unix.SHUT_WR))
		await(t, s, unix.POLLIN)
		if n, err := s.Read(make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("Read: %d, %v, want the end of the stream", n, err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("Write: %v, want EPIPE", err)
		}
		_, err := s.Write([]byte("answer"))
		check(t, err)
		await(t, c, unix.POLLIN)
		var buf [16]byte
		if n, err := c.Read(buf[:]); string(buf[:n]) != "answer" || err != nil {
			t.Errorf("Read: %q, %v", buf[:n], err)
		}
	})
	t.Run("tcp listener", func(t *testing.T) {
		testleak.FDs(t)
		l := tcp4.listen(t, 1)
		c, _ := tcp4.dial(t, l)
		await(t, c, unix.POLLOUT)
		check(t, l.Shutdown(unix.SHUT_RD))
		if _, _, err := l.Accept(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("Accept: %v, want EINVAL", err)
		}
		await(t, c, unix.POLLIN)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the queued client reads %v, want ECONNRESET", err)
		}
	})
	t.Run("unix listener", func(t *testing.T) {
		testleak.FDs(t)
		l := unixS.listen(t, 1)
		_, err := unixS.dial(t, l)
		check(t, err)
		check(t, l.Shutdown(unix.SHUT_RD))
		if _, err := unixS.dial(t, l); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("a new client: %v, want ECONNREFUSED", err)
		}
		acceptOne(t, l)
	})
}

// A duplicate is the same open file description: closing one leaves the other.
func TestDup(t *testing.T) {
	testleak.FDs(t)
	fd, err := Socket(Inet, Stream, 0)
	check(t, err)
	dup, err := fd.Dup()
	closing(t, dup, err)
	if dup == fd {
		t.Fatal("Dup gives the same descriptor")
	}
	flags, err := unix.FcntlInt(uintptr(dup), unix.F_GETFD, 0)
	check(t, err)
	if flags&unix.FD_CLOEXEC == 0 {
		t.Error("the duplicate isn't close-on-exec")
	}
	check(t, ReuseAddr.Set(fd, true))
	check(t, fd.Close())
	if v, err := ReuseAddr.Get(dup); !v || err != nil {
		t.Errorf("the duplicate has SO_REUSEADDR %v, %v", v, err)
	}
}

func TestReadWrite(t *testing.T) {
	testleak.FDs(t)
	a, b := unixPair(t)
	if n, err := a.Write([]byte("hello")); n != 5 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	var buf [16]byte
	if n, err := b.Read(buf[:]); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("Read: %q, %v", buf[:n], err)
	}
	chunk := make([]byte, 1<<16)
	var err error
	for err == nil {
		_, err = a.Write(chunk)
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Write to a full buffer: %v, want EAGAIN", err)
	}
	if n := testing.AllocsPerRun(100, func() { a.Write(chunk) }); n != 0 {
		t.Errorf("EAGAIN allocates %v times", n)
	}
}

func TestVsock(t *testing.T) {
	testleak.FDs(t)
	l := vsock.listen(t, 1)
	a, err := l.Getsockname()
	check(t, err)
	if a.Family() != Vsock || a.CID() != unix.VMADDR_CID_ANY || a.Port() == 0 || a.Port() == unix.VMADDR_PORT_ANY {
		t.Errorf("bound to %v", a)
	}
	if _, _, err := l.Accept(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Accept: %v, want EAGAIN", err)
	}
	if err := vsock.socket(t).Bind(a); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("bind to the same port: %v, want EADDRINUSE", err)
	}
}

func TestMPTCP(t *testing.T) {
	testleak.FDs(t)
	if err := HaveMPTCP.Probe(); err != nil {
		t.Skip(err)
	}
	l := mptcp.listen(t, 4)
	if p, err := SockProtocol.Get(l); p != MPTCP || err != nil {
		t.Errorf("the listener's protocol is %v, %v", p, err)
	}
	for _, client := range []kind{mptcp, tcp4} {
		_, conn := client.connected(t, l)
		want := client.proto
		if want == 0 {
			want = TCP
		}
		if p, err := SockProtocol.Get(conn); p != want || err != nil {
			t.Errorf("a connection of a %v client is %v, %v", client.proto, p, err)
		}
	}
	if p, err := SockProtocol.Get(tcp4.socket(t)); p != TCP || err != nil {
		t.Errorf("the default protocol is %v, %v", p, err)
	}
}

func TestUnixPath(t *testing.T) {
	testleak.FDs(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"s", strings.Repeat("p", MaxUnixName), "./@at"} {
		l := unixS.socket(t)
		check(t, l.Bind(UnixAddr(name)))
		check(t, l.Listen(1))
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
		got, err := l.Getsockname()
		check(t, err)
		if got != UnixAddr(name) {
			t.Errorf("bound to %q, want %q", got, name)
		}
		c, s := unixS.connected(t, l)
		if got, err := s.Getsockname(); got.Name() != name || err != nil {
			t.Errorf("the connection's address is %q, %v, want %q", got, err, name)
		}
		if got, err := c.Getpeername(); got.Name() != name || err != nil {
			t.Errorf("the client's peer is %q, %v, want %q", got, err, name)
		}
	}
	for name, want := range map[string]error{
		strings.Repeat("p", MaxUnixName+1):       unix.ENAMETOOLONG,
		strings.Repeat("p", MaxUnixName+2):       unix.ENAMETOOLONG,
		"@" + strings.Repeat("a", MaxUnixName+1): unix.ENAMETOOLONG,
		"a\x00b":                                 unix.EINVAL,
		filepath.Join("none", "s"):               unix.ENOENT,
	} {
		if err := unixS.socket(t).Bind(UnixAddr(name)); !errors.Is(err, want) {
			t.Errorf("bind %q: %v, want %v", name, err, want)
		}
	}
}

func TestUnixAbstract(t *testing.T) {
	testleak.FDs(t)
	prefix := fmt.Sprintf("@onconn-%d-", os.Getpid())
	for _, name := range []string{prefix, prefix + strings.Repeat("a", MaxUnixName+1-len(prefix)), prefix + "a\x00b", prefix + "\x00"} {
		l := seqPacket.socket(t)
		check(t, l.Bind(UnixAddr(name)))
		check(t, l.Listen(1))
		got, err := l.Getsockname()
		check(t, err)
		if got.Name() != name || !got.IsAbstract() || got != UnixAddr(name) {
			t.Errorf("bound to %q, want %q", got.Name(), name)
		}
		client := seqPacket.socket(t)
		local := UnixAddr(fmt.Sprintf("%sclient-%d", prefix, client))
		check(t, client.Bind(local))
		check(t, client.Connect(got))
		conn, peer := acceptOne(t, l)
		if peer != local {
			t.Errorf("accepted from %q, want %q", peer, local)
		}
		if again, err := conn.Getpeername(); again != local || err != nil {
			t.Errorf("peer %q, %v, want %q", again, err, local)
		}
	}
	l := unixS.listen(t, 1)
	if a, err := l.Getsockname(); err != nil || !a.IsAbstract() || len(a.Name()) != 6 {
		t.Errorf("the kernel chose %q, %v", a, err)
	}
}
