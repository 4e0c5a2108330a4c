package connwrap_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestNettest(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6", "unix", "unixpacket"} {
		for name, cfg := range map[string]connwrap.Config{
			"plain":         {},
			"paused":        {PauseOnConnect: true},
			"late":          {Late: true},
			"late, closing": {Late: true, NoHalfOpen: true},
			"noHalfOpen":    {NoHalfOpen: true},
		} {
			t.Run(network+"/"+name, func(t *testing.T) {
				testleak.FDs(t)
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					a, b := pair(t, network, cfg)
					return a, b, func() { a.Close(); b.Close() }, nil
				})
			})
		}
	}
}

func TestNettestAgainstNet(t *testing.T) {
	testleak.FDs(t)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := netPair(t, "tcp4", connwrap.Config{})
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func TestVsock(t *testing.T) {
	testleak.FDs(t)
	const anyCID, local = 0xffffffff, 1 // VMADDR_CID_ANY, VMADDR_CID_LOCAL
	l := &listener{network: "vsock"}
	if err := l.open(sock.VsockAddr(anyCID, anyCID), sock.Stream); err != nil {
		t.Skipf("no vsock here: %v", err)
	}
	defer l.Close()
	alone := must[sock.FD](t)(sock.Socket(sock.Vsock, sock.Stream, 0))
	check(t, alone.Bind(sock.VsockAddr(anyCID, anyCID)))
	if a := wrap(t, alone, connwrap.Config{}).LocalAddr(); a.Network() != "vsock" || a.(sock.Addr).Port() == 0 {
		t.Errorf("local address %v", a)
	}

	fd, err := connect(sock.VsockAddr(local, l.addr.Port()), sock.Stream)
	if err == nil {
		if _, err = fd.Getpeername(); err != nil {
			fd.Close()
		}
	}
	if err != nil {
		t.Skipf("no vsock loopback here (vsock_loopback module): %v", err)
	}
	client := wrap(t, fd, connwrap.Config{})
	server := must[net.Conn](t)(l.Accept())
	defer server.Close()
	if got := client.RemoteAddr(); got != sock.VsockAddr(local, l.addr.Port()) {
		t.Errorf("remote address %v", got)
	}
	exchange(t, client, server)
}

// exchange sends something each way.
func exchange(t testing.TB, a, b net.Conn) {
	t.Helper()
	for range 2 {
		must[int](t)(a.Write([]byte("ping")))
		p := make([]byte, 16)
		if n, err := b.Read(p); err != nil || string(p[:n]) != "ping" {
			t.Fatalf("read %q, %v", p[:n], err)
		}
		a, b = b, a
	}
}

func TestNetworkFromKernel(t *testing.T) {
	testleak.FDs(t)
	for _, tt := range []struct{ network, want string }{
		{"tcp4", "tcp"}, {"tcp6", "tcp"}, {"unix", "unix"}, {"unixpacket", "unixpacket"},
	} {
		s, c := fds(t, tt.network)
		server, client := wrap(t, s, connwrap.Config{}), wrap(t, c, connwrap.Config{})
		exchange(t, server, client)
		check(t, client.Close())
		_, err := client.Read(nil)
		var op *net.OpError
		if !errors.As(err, &op) || op.Net != tt.want {
			t.Errorf("%s: %v, want an *OpError of network %q", tt.network, err, tt.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	testleak.FDs(t)
	socket := func(f sock.Family, typ sock.Type) sock.FD { return must[sock.FD](t)(sock.Socket(f, typ, 0)) }
	file := must[*os.File](t)(os.CreateTemp(t.TempDir(), ""))
	defer file.Close()
	fileFD := must[int](t)(unix.Open(file.Name(), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0))
	blocking := socket(sock.Inet, sock.Stream)
	check(t, unix.SetNonblock(int(blocking), false))

	for _, tt := range []struct {
		name string
		fd   sock.FD
		cfg  connwrap.Config
		want error
		text string
	}{
		{name: "no descriptor", fd: sock.None, want: unix.EBADF},
		{name: "file", fd: sock.FD(fileFD), want: unix.ENOTSOCK},
		{name: "datagrams", fd: socket(sock.Inet, unix.SOCK_DGRAM), want: net.UnknownNetworkError("inet dgram")},
		{name: "network", fd: socket(sock.Inet, sock.Stream), cfg: connwrap.Config{Network: "udp"}, want: net.UnknownNetworkError("udp")},
		{name: "blocking", fd: blocking, cfg: connwrap.Config{Network: "tcp"}, text: "set O_NONBLOCK first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.OnClose = func() { t.Error("OnClose was called") }
			c, err := connwrap.New(tt.fd, tt.cfg)
			var op *net.OpError
			if c != nil || !errors.As(err, &op) || op.Op != "wrap" {
				t.Fatalf("%v, %v", c, err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if !bytes.Contains([]byte(err.Error()), []byte(tt.text)) {
				t.Errorf("%v doesn't say %q", err, tt.text)
			}
		})
	}
	// testleak shows that each descriptor was closed.
}

func TestSeqPacket(t *testing.T) {
	testleak.FDs(t)
	a, b := pair(t, "unixpacket", connwrap.Config{})
	for _, m := range []string{"one", "three", "longer than the buffer"} {
		must[int](t)(a.Write([]byte(m)))
	}
	p := make([]byte, 8)
	for _, want := range []string{"one", "three", "longer t"} {
		if n, err := b.Read(p); err != nil || string(p[:n]) != want {
			t.Errorf("read %q, %v; want %q", p[:n], err, want)
		}
	}
	check(t, a.Close())
	if n, err := b.Read(p); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

func TestZeroLengthRead(t *testing.T) {
	testleak.FDs(t)
	a, _ := pair(t, "tcp4", connwrap.Config{})
	if n, err := a.Read(nil); n != 0 || err != nil { // would wait, or look like the end
		t.Errorf("%d, %v", n, err)
	}
}
