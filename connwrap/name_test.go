package connwrap_test

import (
	"io"
	"net"
	"testing"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestAddrs(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6", "unix", "unixpacket"} {
		t.Run(network, func(t *testing.T) {
			testleak.FDs(t)
			s, c := fds(t, network)
			local, remote := must[sock.Addr](t)(s.Getsockname()), must[sock.Addr](t)(s.Getpeername())
			typ := sock.Stream
			if network == "unixpacket" {
				typ = sock.SeqPacket
			}
			server := wrap(t, s, connwrap.Config{Network: network})
			client := wrap(t, c, connwrap.Config{Network: network})
			must[int](t)(server.Write([]byte("x")))
			verify := func(when string) {
				t.Helper()
				for _, p := range []struct {
					name      string
					got, want net.Addr
				}{
					{"local", server.LocalAddr(), local.NetAddr(typ)},
					{"remote", server.RemoteAddr(), remote.NetAddr(typ)},
				} {
					if p.got == nil || p.got.String() != p.want.String() || p.got.Network() != p.want.Network() {
						t.Errorf("%s: %s is %v, want %v", when, p.name, p.got, p.want)
					}
				}
			}
			// Never asked for while it is open: Close has to see to it.
			check(t, server.Close())
			verify("after close")
			if server.LocalAddr() != server.LocalAddr() {
				t.Error("LocalAddr isn't cached")
			}
			client.Close()
		})
	}
}

func TestAddrsFromConfig(t *testing.T) {
	testleak.FDs(t)
	s, c := fds(t, "tcp4")
	defer c.Close()
	cfg := connwrap.Config{Network: "tcp", Local: sock.UnixAddr("@told"), Remote: sock.UnixAddr("@told too")}
	server := wrap(t, s, cfg)
	if l, r := server.LocalAddr().String(), server.RemoteAddr().String(); l != "@told" || r != "@told too" {
		t.Errorf("%s, %s: not believed", l, r)
	}
}

func TestAddrsAfterReset(t *testing.T) {
	testleak.FDs(t)
	server, client := pair(t, "tcp4", connwrap.Config{})
	want := client.LocalAddr().String()
	if got := server.RemoteAddr().String(); got != want {
		t.Errorf("remote %s, want %s", got, want)
	}
	check(t, client.SetLinger(0))
	check(t, client.Close())
	if _, err := server.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Fatalf("read after reset: %v", err)
	}
	// getpeername fails by now.
	if got := server.RemoteAddr(); got == nil || got.String() != want {
		t.Errorf("remote %v, want %s", got, want)
	}
	if server.LocalAddr() == nil {
		t.Error("no local address after a reset")
	}
}

func TestAddrsUnknown(t *testing.T) {
	testleak.FDs(t)
	s, c := fds(t, "tcp4")
	defer c.Close()
	server := wrap(t, s, connwrap.Config{Network: "tcp"})
	check(t, server.Close())
	if l, r := server.LocalAddr(), server.RemoteAddr(); l != (sock.Addr{}) || r != (sock.Addr{}) {
		t.Errorf("%#v, %#v", l, r)
	}
	if got, want := server.Close().Error(), "close tcp: use of closed network connection"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
