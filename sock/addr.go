package sock

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
)

// Addr is a socket address as a small value that compares with ==: IPv4, IPv6
// with its zone, a unix path, an abstract unix name, an unnamed unix socket, or
// vsock. The zero Addr is no address.
type Addr struct {
	family Family
	port   uint32   // internet and vsock
	scope  uint32   // IPv6: interface index; vsock: CID
	ip     [16]byte // IPv4 in the first four
	name   string   // unix: sun_path; an abstract one begins with NUL
}

// IPAddr is the address of an internet socket, or the zero Addr if ap is not
// valid. A zone that is neither the name of an interface nor a number is
// dropped.
func IPAddr(ap netip.AddrPort) Addr {
	ip := ap.Addr()
	switch {
	case ip.Is4():
		a := Addr{family: Inet, port: uint32(ap.Port())}
		v4 := ip.As4()
		copy(a.ip[:], v4[:])
		return a
	case ip.Is6():
		return Addr{family: Inet6, port: uint32(ap.Port()), scope: zoneIndex(ip.Zone()), ip: ip.As16()}
	}
	return Addr{}
}

// UnixAddr is the address of a unix socket: a path, an abstract name if it
// begins with "@" or NUL, or unnamed if it is empty. A path that really begins
// with "@" is written "./@name". Binding an unnamed one makes the kernel choose
// an abstract name.
func UnixAddr(name string) Addr {
	if name != "" && name[0] == '@' {
		name = "\x00" + name[1:]
	}
	return Addr{family: Unix, name: name}
}

// VsockAddr is the address of a vsock socket. See vsock(7).
func VsockAddr(cid, port uint32) Addr {
	return Addr{family: Vsock, scope: cid, port: port}
}

// FromNetAddr converts an address of package net, or returns the zero Addr if
// it is of a kind that no socket here has. A TCP address without an IP is the
// IPv6 wildcard. A unix address "@" is unnamed, since net calls an unnamed peer
// that.
func FromNetAddr(a net.Addr) Addr {
	switch a := a.(type) {
	case Addr:
		return a
	case *net.TCPAddr:
		if a == nil || a.Port != int(uint16(a.Port)) {
			return Addr{}
		}
		ap := a.AddrPort()
		if len(a.IP) == 0 {
			return IPAddr(netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port()))
		}
		return IPAddr(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
	case *net.UnixAddr:
		if a == nil {
			return Addr{}
		}
		if a.Name == unnamed {
			return UnixAddr("")
		}
		return UnixAddr(a.Name)
	}
	return Addr{}
}

// unnamed is what package net calls a unix socket without a name.
const unnamed = "@"

// IsValid reports whether it is an address at all.
func (a Addr) IsValid() bool { return a.family != 0 }

// Family is the address family, zero for the zero Addr.
func (a Addr) Family() Family { return a.family }

// Port is the port of an internet or vsock address, else 0.
func (a Addr) Port() uint32 { return a.port }

// CID is the context identifier of a vsock address, else 0.
func (a Addr) CID() uint32 {
	if a.family == Vsock {
		return a.scope
	}
	return 0
}

// AddrPort returns an internet address, with an IPv4 client of a dual-stack
// socket (::ffff:192.0.2.1) as plain IPv4. It is not valid for other families.
func (a Addr) AddrPort() netip.AddrPort {
	switch a.family {
	case Inet:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.ip[:4])), uint16(a.port))
	case Inet6:
		ip := netip.AddrFrom16(a.ip).Unmap()
		if a.scope != 0 && ip.Is6() {
			ip = ip.WithZone(zoneName(a.scope))
		}
		return netip.AddrPortFrom(ip, uint16(a.port))
	}
	return netip.AddrPort{}
}

// Name is the name of a unix address as [UnixAddr] takes it: a path, "@name"
// for an abstract one, or empty for an unnamed one.
func (a Addr) Name() string {
	switch {
	case a.IsAbstract():
		return "@" + a.name[1:]
	case a.name != "" && a.name[0] == '@':
		return "./" + a.name
	}
	return a.name
}

// IsAbstract reports whether it is an abstract unix name, which no file stands for.
func (a Addr) IsAbstract() bool { return a.name != "" && a.name[0] == 0 }

// NetAddr converts to what package net would give for a socket of type t:
// *[net.TCPAddr] or *[net.UnixAddr]; for other families a itself, and nil for
// the zero Addr.
func (a Addr) NetAddr(t Type) net.Addr {
	switch a.family {
	case 0:
		return nil
	case Inet, Inet6:
		return net.TCPAddrFromAddrPort(a.AddrPort())
	case Unix:
		u := &net.UnixAddr{Name: a.String(), Net: "unix"}
		if t == SeqPacket {
			u.Net = "unixpacket"
		}
		return u
	}
	return a
}

// Network is "tcp", "unix" or "vsock", to make an Addr a [net.Addr].
func (a Addr) Network() string {
	switch a.family {
	case Inet, Inet6:
		return "tcp"
	}
	return a.family.String()
}

// String is the address as users write it: "192.0.2.1:80", "[::1]:80", a path,
// "@name", "@" alone for an unnamed unix socket as in package net, or
// "cid:port".
func (a Addr) String() string {
	switch a.family {
	case Inet, Inet6:
		return a.AddrPort().String()
	case Unix:
		return cmp.Or(a.Name(), unnamed)
	case Vsock:
		return strconv.FormatUint(uint64(a.scope), 10) + ":" + strconv.FormatUint(uint64(a.port), 10)
	}
	return ""
}
