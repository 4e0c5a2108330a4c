package connwrap_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/sock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A listener accepts with sock.FD.Accept and wraps what it gets.
type listener struct {
	file    *os.File
	raw     syscall.RawConn
	addr    sock.Addr
	network string
	cfg     connwrap.Config
}

// listen makes one on a loopback address of the network's own.
func listen(t testing.TB, network string, cfg connwrap.Config) *listener {
	t.Helper()
	var addr sock.Addr
	typ := sock.Stream
	switch network {
	case "tcp", "tcp4":
		addr = sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))
	case "tcp6":
		addr = sock.IPAddr(netip.MustParseAddrPort("[::1]:0"))
	case "unixpacket":
		typ = sock.SeqPacket
		fallthrough
	case "unix":
		addr = sock.UnixAddr(filepath.Join(t.TempDir(), "s"))
	}
	l := &listener{network: network, cfg: cfg}
	check(t, l.open(addr, typ))
	t.Cleanup(func() { l.Close() })
	return l
}

func (l *listener) open(addr sock.Addr, typ sock.Type) error {
	fd, err := sock.Socket(addr.Family(), typ, 0)
	if err != nil {
		return err
	}
	l.file = os.NewFile(uintptr(fd), "listener")
	if err := errors.Join(fd.Bind(addr), fd.Listen(511)); err != nil {
		return err
	}
	if l.addr, err = fd.Getsockname(); err != nil {
		return err
	}
	l.raw, err = l.file.SyscallConn()
	return err
}

func (l *listener) AcceptFD() (fd sock.FD, peer sock.Addr, err error) {
	rerr := l.raw.Read(func(s uintptr) bool {
		fd, peer, err = sock.FD(s).Accept()
		return !errors.Is(err, unix.EAGAIN)
	})
	if rerr != nil {
		return sock.None, sock.Addr{}, net.ErrClosed
	}
	return fd, peer, err
}

func (l *listener) Accept() (net.Conn, error) {
	fd, peer, err := l.AcceptFD()
	if err != nil {
		return nil, err
	}
	cfg := l.cfg
	cfg.Network, cfg.Remote = l.network, peer
	return connwrap.New(fd, cfg)
}

func (l *listener) Addr() net.Addr { return l.addr.NetAddr(sock.Stream) }
func (l *listener) Close() error   { return l.file.Close() }

// connect makes a descriptor that is connected to addr.
func connect(addr sock.Addr, typ sock.Type) (sock.FD, error) {
	fd, err := sock.Socket(addr.Family(), typ, 0)
	if err != nil {
		return sock.None, err
	}
	if err = fd.Connect(addr); errors.Is(err, unix.EINPROGRESS) {
		err = waitFor(fd, unix.POLLOUT)
	}
	if err != nil {
		fd.Close()
		return sock.None, err
	}
	return fd, nil
}

func waitFor(fd sock.FD, events int16) error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 100)
		if n > 0 || err != nil && err != unix.EINTR {
			return err
		}
	}
	return unix.ETIMEDOUT
}

// fds returns both ends of a connection.
func fds(t testing.TB, network string) (server, client sock.FD) {
	t.Helper()
	l := listen(t, network, connwrap.Config{})
	defer l.Close()
	typ := sock.Stream
	if network == "unixpacket" {
		typ = sock.SeqPacket
	}
	client = must[sock.FD](t)(connect(l.addr, typ))
	server, _, err := l.AcceptFD()
	check(t, err)
	return server, client
}

// pair returns both ends of a connection, wrapped; cfg is for the first.
func pair(t testing.TB, network string, cfg connwrap.Config) (server, client *connwrap.Conn) {
	t.Helper()
	s, c := fds(t, network)
	cfg.Network = network
	return wrap(t, s, cfg), wrap(t, c, connwrap.Config{Network: network})
}

func wrap(t testing.TB, fd sock.FD, cfg connwrap.Config) *connwrap.Conn {
	t.Helper()
	c := must[*connwrap.Conn](t)(connwrap.New(fd, cfg))
	t.Cleanup(func() { c.Close() })
	return c
}

// netPair returns a Conn of ours whose peer is package net's.
func netPair(t testing.TB, network string, cfg connwrap.Config) (*connwrap.Conn, net.Conn) {
	t.Helper()
	l := listen(t, network, cfg)
	defer l.Close()
	peer := must[net.Conn](t)(net.Dial(network, l.Addr().String()))
	t.Cleanup(func() { peer.Close() })
	c := must[net.Conn](t)(l.Accept())
	t.Cleanup(func() { c.Close() })
	return c.(*connwrap.Conn), peer
}

// watched reports whether an epoll instance of this process, such as the
// runtime's, has fd in it. See proc(5), fdinfo.
func watched(t testing.TB, fd sock.FD) bool {
	t.Helper()
	line := regexp.MustCompile(fmt.Sprintf(`(?m)^tfd: +%d `, fd))
	for _, name := range must[[]string](t)(filepath.Glob("/proc/self/fdinfo/*")) {
		info, _ := os.ReadFile(name) // Glob's own is gone by now
		if line.Match(info) {
			return true
		}
	}
	return false
}
