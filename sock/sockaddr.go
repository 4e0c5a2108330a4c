package sock

import (
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxUnixName is the longest unix path or abstract name in bytes: sun_path has
// 108, of which a path needs one for its NUL and an abstract name one for its
// first. See unix(7).
const MaxUnixName = 107

// encode fills in the kernel's form and returns its length.
func (a Addr) encode(rsa *unix.RawSockaddrAny) (uint32, error) {
	switch a.family {
	case Inet:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(rsa))
		sa.Family = unix.AF_INET
		putPort(&sa.Port, a.port)
		copy(sa.Addr[:], a.ip[:4])
		return unix.SizeofSockaddrInet4, nil
	case Inet6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(rsa))
		sa.Family = unix.AF_INET6
		putPort(&sa.Port, a.port)
		sa.Addr = a.ip
		sa.Scope_id = a.scope
		return unix.SizeofSockaddrInet6, nil
	case Unix:
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(rsa))
		if len(a.name) > len(sa.Path) || len(a.name) == len(sa.Path) && !a.IsAbstract() {
			return 0, unix.ENAMETOOLONG
		}
		if !a.IsAbstract() && strings.IndexByte(a.name, 0) >= 0 {
			return 0, unix.EINVAL // the kernel would take what is before it
		}
		sa.Family = unix.AF_UNIX
		for i := range len(a.name) {
			sa.Path[i] = int8(a.name[i])
		}
		n := uint32(unsafe.Offsetof(sa.Path)) + uint32(len(a.name))
		if a.name != "" && !a.IsAbstract() {
			n++ // the NUL
		}
		return n, nil
	case Vsock:
		sa := (*unix.RawSockaddrVM)(unsafe.Pointer(rsa))
		sa.Family = unix.AF_VSOCK
		sa.Port = a.port
		sa.Cid = a.scope
		return unix.SizeofSockaddrVM, nil
	}
	return 0, unix.EAFNOSUPPORT
}

// decode reads what the kernel wrote; n is the length it reported.
func decode(rsa *unix.RawSockaddrAny, n uint32) Addr {
	if n < uint32(unsafe.Sizeof(rsa.Addr.Family)) {
		return Addr{}
	}
	switch rsa.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(rsa))
		a := Addr{family: Inet, port: getPort(&sa.Port)}
		copy(a.ip[:], sa.Addr[:])
		return a
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(rsa))
		return Addr{family: Inet6, port: getPort(&sa.Port), scope: sa.Scope_id, ip: sa.Addr}
	case unix.AF_UNIX:
		return Addr{family: Unix, name: sunPath((*unix.RawSockaddrUnix)(unsafe.Pointer(rsa)), n)}
	case unix.AF_VSOCK:
		sa := (*unix.RawSockaddrVM)(unsafe.Pointer(rsa))
		return Addr{family: Vsock, port: sa.Port, scope: sa.Cid}
	}
	return Addr{family: Family(rsa.Addr.Family)}
}

// sunPath is the name in sa: n counts the family and, for a path, mostly its NUL.
func sunPath(sa *unix.RawSockaddrUnix, n uint32) string {
	off := uint32(unsafe.Offsetof(sa.Path))
	if n <= off {
		return ""
	}
	p := unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path[0])), min(n-off, uint32(len(sa.Path))))
	if p[0] != 0 {
		for i, c := range p {
			if c == 0 {
				p = p[:i]
				break
			}
		}
	}
	return string(p)
}

// The kernel keeps ports in network order.
func putPort(p *uint16, port uint32) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], uint16(port))
}

func getPort(p *uint16) uint32 {
	return uint32(binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]))
}

// zoneIndex tries the name first, as package net does.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func zoneName(index uint32) string {
	if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
		return ifi.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}
