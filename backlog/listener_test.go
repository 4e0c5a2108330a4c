package backlog

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestListeners(t *testing.T) {
	testleak.FDs(t)
	v6only := func(fd sock.FD) error { return sock.V6Only.Set(fd, true) }
	dual := func(fd sock.FD) error { return sock.V6Only.Set(fd, false) }
	ns := netns.New(t)
	n := opened(t, ns.Path())
	for _, tt := range []struct {
		addr     string
		protocol sock.Protocol
		before   func(sock.FD) error
		client   string
	}{
		{"127.0.0.1:80", 0, nil, "127.0.0.1:80"},
		{"0.0.0.0:81", 0, nil, "127.0.0.1:81"},
		{"[::1]:82", 0, v6only, "[::1]:82"},
		{"[::]:83", 0, dual, "127.0.0.1:83"},
		{"127.0.0.1:84", sock.MPTCP, nil, "127.0.0.1:84"},
		{"[::]:85", sock.MPTCP, dual, "[::1]:85"},
	} {
		t.Run(tt.addr, func(t *testing.T) {
			ns.Do(func() {
				before := tt.before
				if before == nil {
					before = func(sock.FD) error { return nil }
				}
				const limit, refused = 2, 3
				drops, err := n.Counters()
				if err != nil {
					t.Fatal(err)
				}
				fd, addr := listening(t, inet(tt.addr), sock.Stream, tt.protocol, limit, before)
				for range limit + 1 {
					connect(t, inet(tt.client))
				}
				want := Listener{
					Addr:   addr,
					Type:   sock.Stream,
					MPTCP:  tt.protocol == sock.MPTCP,
					V6Only: strings.HasPrefix(tt.addr, "[::1"),
					Queue:  Queue{limit + 1, limit},
					Inode:  inode(t, fd),
					Cookie: cookie(t, fd),
				}
				if want.MPTCP { // its cookie is that of a subflow
					all, err := n.Listeners()
					if err != nil || len(all) != 1 || all[0].Cookie == want.Cookie {
						t.Fatalf("%+v, %v", all, err)
					}
					want.Cookie = all[0].Cookie
				}
				eventually(t, func() error { return found(n, want) })
				for range refused {
					knock(t, inet(tt.client))
				}
				want.Drops = refused
				eventually(t, func() error { return found(n, want) })
				after, err := n.Counters()
				if err != nil {
					t.Fatal(err)
				}
				if d := after.Sub(drops); d["TcpExtListenDrops"] != refused || d["TcpExtListenOverflows"] != refused {
					t.Errorf("ListenDrops %d, ListenOverflows %d; not %d",
						d["TcpExtListenDrops"], d["TcpExtListenOverflows"], refused)
				}
			})
		})
	}
}

// found expects just one listener, by all ways of asking, and ss(8) to agree.
func found(n *Namespace, want Listener) error {
	all, err := n.Listeners()
	if err != nil {
		return err
	}
	if len(all) != 1 || all[0] != want {
		return fmt.Errorf("listed %+v, not %+v", all, want)
	}
	for _, cookie := range []uint64{0, want.Cookie} {
		if l, err := n.Lookup(want.Addr.AddrPort(), cookie); err != nil || l != want {
			return fmt.Errorf("looked up by cookie %d: %+v, %v; not %+v", cookie, l, err, want)
		}
	}
	return ssAgrees(want)
}

func ssAgrees(l Listener) error {
	if _, err := exec.LookPath("ss"); err != nil {
		return nil
	}
	out, err := exec.Command("ss", "-Hltnmp", "sport = "+fmt.Sprint(l.Addr.Port())).Output()
	if err != nil {
		return err
	}
	fields := strings.Fields(string(out))
	want := fmt.Sprintf("LISTEN %d %d", l.Depth, l.Limit)
	drops := fmt.Sprintf(",d%d)", l.Drops)
	if len(fields) < 3 || strings.Join(fields[:3], " ") != want || !strings.Contains(string(out), drops) {
		return fmt.Errorf("ss says %q, not %q %q", out, want, drops)
	}
	return nil
}

func inode(t testing.TB, fd sock.FD) uint32 {
	t.Helper()
	var file unix.Stat_t
	if err := unix.Fstat(int(fd), &file); err != nil {
		t.Fatal(err)
	}
	return uint32(file.Ino)
}

func cookie(t testing.TB, fd sock.FD) uint64 {
	t.Helper()
	c, err := unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUnixListeners(t *testing.T) {
	testleak.FDs(t)
	t.Chdir(t.TempDir())
	ns := netns.New(t)
	n := opened(t, ns.Path())
	for i, tt := range []struct {
		addr, name string
		typ        sock.Type
	}{
		{"s", "s", sock.Stream},
		{"./@s", "./@s", sock.Stream},
		{"@abstract", "@abstract", sock.Stream},
		{"@packet", "@packet", sock.SeqPacket},
	} {
		ns.Do(func() {
			const limit = 2
			addr := sock.UnixAddr(tt.addr)
			fd, _ := listening(t, addr, tt.typ, 0, limit)
			for range limit + 1 {
				connectType(t, addr, tt.typ, 0)
			}
			refused, err := sock.Socket(sock.Unix, tt.typ, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := refused.Connect(addr); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("%s: connecting to a full queue: %v", tt.addr, err)
			}
			refused.Close()
			all, err := n.UnixListeners()
			if err != nil || len(all) != i+1 {
				t.Fatalf("%d listeners, %v", len(all), err)
			}
			want := Listener{Addr: sock.UnixAddr(tt.name), Type: tt.typ, Queue: Queue{limit + 1, limit},
				Inode: inode(t, fd), Cookie: cookie(t, fd)}
			for _, l := range all {
				if l.Inode == want.Inode && l != want {
					t.Errorf("%+v, not %+v", l, want)
				}
			}
			if err := ssAgreesUnix(want); err != nil {
				t.Error(err)
			}
		})
	}
}

func ssAgreesUnix(l Listener) error {
	if _, err := exec.LookPath("ss"); err != nil {
		return nil
	}
	out, err := exec.Command("ss", "-Hlx").Output()
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) > 5 && f[5] == fmt.Sprint(l.Inode) {
			if f[2] != fmt.Sprint(l.Depth) || f[3] != fmt.Sprint(l.Limit) {
				return fmt.Errorf("ss says %q of %+v", line, l)
			}
			return nil
		}
	}
	return fmt.Errorf("ss doesn't show %+v: %q, %v", l, out, err)
}

func TestLookup(t *testing.T) {
	testleak.FDs(t)
	n := opened(t, "")
	group := func(fd sock.FD) error { return sock.ReusePort.Set(fd, true) }
	first, addr := listening(t, inet("127.0.0.1:0"), sock.Stream, 0, 1, group)
	cookies := []uint64{cookie(t, first)}
	for i := range 4 {
		fd, _ := listening(t, addr, sock.Stream, 0, i+2, group)
		cookies = append(cookies, cookie(t, fd))
	}
	for i, c := range cookies {
		if l, err := n.Lookup(addr.AddrPort(), c); err != nil || l.Cookie != c || l.Limit != i+1 {
			t.Errorf("member %d of the group: %+v, %v", i, l, err)
		}
	}
	one, err := n.Lookup(addr.AddrPort(), 0)
	for range 20 {
		if l, err2 := n.Lookup(addr.AddrPort(), 0); err != nil || err2 != nil || l != one {
			t.Errorf("%+v, %v; before %+v, %v", l, err2, one, err)
		}
	}

	_, wild := listening(t, inet("0.0.0.0:0"), sock.Stream, 0, 1)
	local := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), uint16(wild.Port()))
	mapped := netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), uint16(wild.Port()))
	for _, a := range []netip.AddrPort{local, mapped} {
		if l, err := n.Lookup(a, 0); err != nil || l.Addr != wild {
			t.Errorf("%v: %+v, %v; not %v", a, l, err, wild)
		}
	}

	c := connect(t, wild)
	client, err := c.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	for _, missing := range []struct {
		addr   netip.AddrPort
		cookie uint64
	}{
		{local, 1},
		{client.AddrPort(), 0},
		{netip.AddrPortFrom(netip.IPv6Loopback(), uint16(wild.Port())), 0},
		{netip.AddrPort{}, 0},
	} {
		if l, err := n.Lookup(missing.addr, missing.cookie); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%v: %+v, %v", missing, l, err)
		}
	}
}

func TestLookupOnInterface(t *testing.T) {
	testleak.FDs(t)
	a, b := netns.New(t), netns.New(t)
	netns.Link(t, a, b, netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24"))
	n := opened(t, a.Path())
	a.Do(func() {
		toDevice := func(fd sock.FD) error { return unix.BindToDevice(int(fd), "veth0") }
		fd, addr := listening(t, inet("0.0.0.0:80"), sock.Stream, 0, 1, toDevice)
		linkLocal := listeningLinkLocal(t, n)
		for _, want := range []struct {
			addr   netip.AddrPort
			cookie uint64
		}{{addr.AddrPort(), 0}, {addr.AddrPort(), cookie(t, fd)}, {linkLocal, 0}} {
			if l, err := n.Lookup(want.addr, want.cookie); err != nil || l.Interface == 0 {
				t.Errorf("%v: %+v, %v", want.addr, l, err)
			}
		}
	})
}

// listeningLinkLocal listens on the link-local address of veth0, and returns it
// as Listeners shows it.
func listeningLinkLocal(t *testing.T, n *Namespace) (found netip.AddrPort) {
	t.Helper()
	ip := linkLocal(t, "veth0")
	eventually(t, func() error { // its duplicates are looked for first
		fd, err := sock.Socket(sock.Inet6, sock.Stream, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := fd.Bind(sock.IPAddr(netip.AddrPortFrom(ip, 81))); err != nil {
			fd.Close()
			return err
		}
		t.Cleanup(func() { fd.Close() })
		return fd.Listen(1)
	})
	all, err := n.Listeners()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.Addr.Port() == 81 {
			found = l.Addr.AddrPort()
		}
	}
	if found.Addr().WithZone("") != ip.WithZone("") || found.Addr().Zone() == "" {
		t.Errorf("it is listed as %v, not %v", found, ip)
	}
	return found
}

func BenchmarkListeners(b *testing.B) {
	n := opened(b, "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Listeners(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	_, addr := listening(b, inet("127.0.0.1:0"), sock.Stream, 0, 7)
	n := opened(b, "")
	a := addr.AddrPort()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Lookup(a, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// linkLocal is the address of an interface that begins with fe80.
func linkLocal(t *testing.T, name string) (found netip.Addr) {
	t.Helper()
	eventually(t, func() error {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		for _, a := range addrs {
			if p, ok := a.(*net.IPNet); ok && p.IP.IsLinkLocalUnicast() {
				ip, _ := netip.AddrFromSlice(p.IP)
				found = ip.WithZone(strconv.Itoa(i.Index))
				return nil
			}
		}
		return fmt.Errorf("%s has no link-local address: %v, %v", name, addrs, err)
	})
	return found
}
