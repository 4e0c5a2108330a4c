package sock

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

func TestAddr(t *testing.T) {
	for _, c := range []struct {
		addr    Addr
		family  Family
		network string
		text    string
		net     net.Addr // NetAddr of a stream socket
	}{
		{Addr{}, 0, "unspec", "", nil},
		{ipAddr("192.0.2.1:80"), Inet, "tcp", "192.0.2.1:80", &net.TCPAddr{IP: net.IP{192, 0, 2, 1}, Port: 80}},
		{ipAddr("0.0.0.0:65535"), Inet, "tcp", "0.0.0.0:65535", &net.TCPAddr{IP: net.IPv4zero.To4(), Port: 65535}},
		{ipAddr("[::1]:80"), Inet6, "tcp", "[::1]:80", &net.TCPAddr{IP: net.IPv6loopback, Port: 80}},
		{ipAddr("[::ffff:192.0.2.1]:80"), Inet6, "tcp", "192.0.2.1:80", &net.TCPAddr{IP: net.IP{192, 0, 2, 1}, Port: 80}},
		{ipAddr("[fe80::1%lo]:80"), Inet6, "tcp", "[fe80::1%lo]:80", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "lo"}},
		{ipAddr("[fe80::1%4294967295]:80"), Inet6, "tcp", "[fe80::1%4294967295]:80", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "4294967295"}},
		{UnixAddr("/run/s"), Unix, "unix", "/run/s", &net.UnixAddr{Name: "/run/s", Net: "unix"}},
		{UnixAddr("@name"), Unix, "unix", "@name", &net.UnixAddr{Name: "@name", Net: "unix"}},
		{UnixAddr(""), Unix, "unix", "@", &net.UnixAddr{Name: "@", Net: "unix"}},
		{VsockAddr(3, 1<<32-1), Vsock, "vsock", "3:4294967295", VsockAddr(3, 1<<32-1)},
	} {
		if c.addr.IsValid() != (c.family != 0) || c.addr.Family() != c.family || c.addr.Network() != c.network || c.addr.String() != c.text {
			t.Errorf("%#v: %v, %s, %q, want %v, %s, %q", c.addr, c.addr.Family(), c.addr.Network(), c.addr, c.family, c.network, c.text)
		}
		got := c.addr.NetAddr(Stream)
		if (got == nil) != (c.net == nil) || got != nil && (got.String() != c.net.String() || got.Network() != c.net.Network()) {
			t.Errorf("%v.NetAddr: %#v, want %#v", c.addr, got, c.net)
		}
		if c.family == 0 {
			continue
		}
		if again := FromNetAddr(c.net); again.String() != c.text {
			t.Errorf("FromNetAddr(%#v): %v", c.net, again)
		}
		if again := decoded(t, c.addr); again != c.addr {
			t.Errorf("%v: encoded and decoded it is %v", c.addr, again)
		}
	}
	if u := UnixAddr("/s").NetAddr(SeqPacket); u.Network() != "unixpacket" {
		t.Errorf("NetAddr of a seqpacket socket is of %q", u.Network())
	}
	if n := VsockAddr(3, 4).CID(); n != 3 {
		t.Errorf("CID is %d", n)
	}
	if n := ipAddr("[fe80::1%lo]:80").CID(); n != 0 {
		t.Errorf("CID of an IPv6 address is %d", n)
	}
	if ap := UnixAddr("/s").AddrPort(); ap.IsValid() {
		t.Errorf("AddrPort of a unix address is %v", ap)
	}
}

func ipAddr(s string) Addr { return IPAddr(netip.MustParseAddrPort(s)) }

// decoded is what the kernel's form of a says.
func decoded(t testing.TB, a Addr) Addr {
	t.Helper()
	var rsa unix.RawSockaddrAny
	n, err := a.encode(&rsa)
	check(t, err)
	return decode(&rsa, n)
}

func TestFromNetAddr(t *testing.T) {
	for _, c := range []struct {
		in   net.Addr
		want Addr
	}{
		{nil, Addr{}},
		{(*net.TCPAddr)(nil), Addr{}},
		{(*net.UnixAddr)(nil), Addr{}},
		{&net.UDPAddr{Port: 1}, Addr{}},
		{&net.TCPAddr{Port: 80}, ipAddr("[::]:80")},
		{&net.TCPAddr{IP: net.IP{}, Port: 80}, ipAddr("[::]:80")},
		{&net.TCPAddr{IP: net.IP{1, 2, 3}, Port: 80}, Addr{}},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 65536}, Addr{}},
		{&net.TCPAddr{IP: net.IPv4zero, Port: -1}, Addr{}},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To16(), Port: 80}, ipAddr("127.0.0.1:80")},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: 80}, ipAddr("127.0.0.1:80")},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "1"}, ipAddr("[fe80::1%1]:0")},
		{&net.UnixAddr{Name: "\x00name"}, UnixAddr("@name")},
		{&net.UnixAddr{Name: "@"}, UnixAddr("")},
		{&net.UnixAddr{}, UnixAddr("")},
		{UnixAddr("@"), UnixAddr("@")},
		{VsockAddr(1, 2), VsockAddr(1, 2)},
	} {
		if got := FromNetAddr(c.in); got != c.want {
			t.Errorf("FromNetAddr(%#v) = %#v, want %#v", c.in, got, c.want)
		}
	}
}

// Package net and this one must agree on what a socket's addresses are.
func TestNetAgrees(t *testing.T) {
	testleak.FDs(t)
	for name, k := range map[string]kind{"tcp4": tcp4, "tcp6": tcp6, "dualstack": dualStack, "unix": unixS, "seqpacket": seqPacket} {
		t.Run(name, func(t *testing.T) {
			c, s := k.connected(t, k.listen(t, 1))
			for what, fd := range map[string]FD{"client": c, "server": s} {
				dup, err := fd.Dup()
				check(t, err)
				f := os.NewFile(uintptr(dup), what)
				conn, err := net.FileConn(f)
				f.Close()
				check(t, err)
				defer conn.Close()
				local, err := fd.Getsockname()
				check(t, err)
				remote, err := fd.Getpeername()
				check(t, err)
				for _, p := range []struct {
					ours Addr
					net  net.Addr
				}{{local, conn.LocalAddr()}, {remote, conn.RemoteAddr()}} {
					ours := p.ours.NetAddr(k.typ)
					if ours.String() != p.net.String() || ours.Network() != p.net.Network() || p.ours.String() != p.net.String() {
						t.Errorf("%s: we say %v %v, net says %v %v", what, ours.Network(), ours, p.net.Network(), p.net)
					}
					if back := FromNetAddr(p.net); back.String() != p.ours.String() {
						t.Errorf("%s: %v comes back from net as %v", what, p.ours, back)
					}
				}
			}
		})
	}
}

func TestUnixNames(t *testing.T) {
	for _, c := range []struct {
		in, name, text string
		abstract       bool
	}{
		{"/a/b", "/a/b", "/a/b", false},
		{"@x", "@x", "@x", true},
		{"\x00x", "@x", "@x", true},
		{"@x\x00y", "@x\x00y", "@x\x00y", true},
		{"@", "@", "@", true},
		{"./@x", "./@x", "./@x", false},
		{"", "", "@", false},
	} {
		a := UnixAddr(c.in)
		if a.Name() != c.name || a.String() != c.text || a.IsAbstract() != c.abstract {
			t.Errorf("UnixAddr(%q): %q, %q, %v", c.in, a.Name(), a, a.IsAbstract())
		}
	}
	// Somebody else may bind a path that begins with "@".
	var rsa unix.RawSockaddrAny
	sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&rsa))
	sa.Family = unix.AF_UNIX
	sa.Path[0], sa.Path[1] = '@', 'x'
	if a := decode(&rsa, 5); a.IsAbstract() || a.Name() != "./@x" {
		t.Errorf("the path @x is %q", a.Name())
	}
	// Or one of 108 bytes, which has no NUL.
	for i := range sa.Path {
		sa.Path[i] = 'p'
	}
	if a := decode(&rsa, 2+108+1); a.Name() != strings.Repeat("p", 108) {
		t.Errorf("a path of 108 bytes is %q", a.Name())
	}
	// The length that the kernel reports may be more than there is room for.
	sa.Path[0] = 0
	if a := decode(&rsa, 200); a.Name() != "@"+strings.Repeat("p", 107) {
		t.Errorf("a cut abstract name is %q", a.Name())
	}
}

func TestZones(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	check(t, err)
	index := strconv.Itoa(lo.Index)
	for zone, want := range map[string]string{"lo": "lo", index: "lo", "4000000000": "4000000000", "nonesuch0": "", "4294967296": ""} {
		in := netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 1)
		if got := IPAddr(in).AddrPort().Addr().Zone(); got != want {
			t.Errorf("zone %q comes back as %q, want %q", zone, got, want)
		}
	}
	if a, b := ipAddr("[fe80::1%lo]:1"), ipAddr("[fe80::1%"+index+"]:1"); a != b {
		t.Errorf("%v and %v differ", a, b)
	}
}

// A connection between link-local addresses, which are nothing without a zone.
func TestLinkLocal(t *testing.T) {
	testleak.FDs(t)
	local := linkLocal(t)
	l := kind{Inet6, Stream, 0, IPAddr(local)}.listen(t, 1)
	a, err := l.Getsockname()
	check(t, err)
	if a.AddrPort().Addr() != local.Addr() {
		t.Errorf("bound to %v, want %v", a, local)
	}
	c, err := tcp6.dial(t, l)
	if !errors.Is(err, unix.EINPROGRESS) {
		check(t, err)
	}
	if _, peer := acceptOne(t, l); peer.AddrPort().Addr() != local.Addr() {
		t.Errorf("accepted from %v, want %v", peer, local)
	}
	_ = c
	noZone := IPAddr(netip.AddrPortFrom(local.Addr().WithZone(""), 0))
	if err := tcp6.socket(t).Bind(noZone); !errors.Is(err, unix.EINVAL) {
		t.Errorf("without a zone: %v, want EINVAL", err)
	}
}

// linkLocal is such an address of this machine, with its zone and no port.
func linkLocal(t *testing.T) netip.AddrPort {
	interfaces, err := net.Interfaces()
	check(t, err)
	for _, ifi := range interfaces {
		addrs, err := ifi.Addrs()
		check(t, err)
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return netip.AddrPortFrom(p.Addr().WithZone(ifi.Name), 0)
			}
		}
	}
	t.Skip("no interface has a link-local address")
	panic("unreachable")
}

func TestWire(t *testing.T) {
	for _, a := range []Addr{{}, ipAddr("192.0.2.1:80"), ipAddr("[fe80::1%lo]:443"), VsockAddr(1<<32-1, 1<<32-1), UnixAddr("")} {
		if got := AddrFromWire(a.Wire()); got != a {
			t.Errorf("%v arrives as %v", a, got)
		}
	}
	for _, name := range []string{"/run/s", "@x"} {
		if got := AddrFromWire(UnixAddr(name).Wire()); got != (Addr{}) {
			t.Errorf("%q arrives as %#v, not as no address", name, got)
		}
	}
}

// Any bytes of any length are some address, and what can be given to the kernel
// again is the same then.
func FuzzDecode(f *testing.F) {
	for _, a := range []Addr{ipAddr("192.0.2.1:80"), ipAddr("[fe80::1%lo]:80"), UnixAddr("/run/s"), UnixAddr("@x"), UnixAddr(""), VsockAddr(2, 3)} {
		var rsa unix.RawSockaddrAny
		n, err := a.encode(&rsa)
		check(f, err)
		f.Add((*[unix.SizeofSockaddrAny]byte)(unsafe.Pointer(&rsa))[:n], n)
	}
	f.Add([]byte{unix.AF_NETLINK, 0, 1}, uint32(1<<32-1))
	f.Add([]byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, n uint32) {
		var rsa unix.RawSockaddrAny
		copy((*[unix.SizeofSockaddrAny]byte)(unsafe.Pointer(&rsa))[:], b)
		a := decode(&rsa, n)
		use(a)
		var out unix.RawSockaddrAny
		if n, err := a.encode(&out); err == nil {
			if again := decode(&out, n); again != a {
				t.Errorf("%#v comes back as %#v", a, again)
			}
		}
	})
}

func FuzzAddr(f *testing.F) {
	f.Add(uint8(0), []byte{192, 0, 2, 1}, uint32(80), uint32(0), "")
	f.Add(uint8(1), []byte(net.IPv6loopback), uint32(80), uint32(1), "")
	f.Add(uint8(2), []byte{}, uint32(0), uint32(0), "/run/s")
	f.Add(uint8(2), []byte{}, uint32(0), uint32(0), "@x\x00")
	f.Add(uint8(3), []byte{}, uint32(1), uint32(2), "")
	f.Fuzz(func(t *testing.T, which uint8, ip []byte, port, scope uint32, name string) {
		var a Addr
		var full [16]byte
		copy(full[:], ip)
		switch which % 4 {
		case 0:
			a = IPAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte(full[:4])), uint16(port)))
		case 1:
			a = IPAddr(netip.AddrPortFrom(netip.AddrFrom16(full).WithZone(strconv.Itoa(int(scope))), uint16(port)))
		case 2:
			a = UnixAddr(name)
		case 3:
			a = VsockAddr(scope, port)
		}
		use(a)
		var rsa unix.RawSockaddrAny
		n, err := a.encode(&rsa)
		if err != nil {
			if a.family != Unix || len(name) <= MaxUnixName && !strings.Contains(name, "\x00") {
				t.Errorf("%#v: %v", a, err)
			}
			return
		}
		if again := decode(&rsa, n); again != a {
			t.Errorf("%#v comes back as %#v", a, again)
		}
		if again := UnixAddr(a.Name()); a.family == Unix && again != a {
			t.Errorf("%#v by name is %#v", a, again)
		}
		a.name = ""
		if again := AddrFromWire(a.Wire()); again != a {
			t.Errorf("%#v arrives as %#v", a, again)
		}
	})
}

func FuzzAddrFromWire(f *testing.F) {
	w := ipAddr("[fe80::1%lo]:80").Wire()
	f.Add(w[:])
	f.Add([]byte{255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var w [WireSize]byte
		copy(w[:], b)
		a := AddrFromWire(w)
		use(a)
		if again := AddrFromWire(a.Wire()); again != a {
			t.Errorf("%#v arrives as %#v", a, again)
		}
	})
}

// use calls every method, none of which may panic.
func use(a Addr) {
	_, _, _ = a.String(), a.Network(), a.Name()
	_, _, _ = a.Port(), a.CID(), a.Family()
	_, _, _ = a.IsValid(), a.IsAbstract(), a.AddrPort()
	_ = FromNetAddr(a.NetAddr(Stream))
}
