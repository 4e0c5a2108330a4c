package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxAddress is sizeof(struct sockaddr_storage).
const maxAddress = 128

// Address reads a struct sockaddr: as a C programmer would write it, and short:
// "127.0.0.1:8000", a path, "@abstract".
func Address(b []byte) (text, short string) {
	if len(b) < 2 {
		return "{}", ""
	}
	family := binary.NativeEndian.Uint16(b)
	switch {
	case family == unix.AF_INET && len(b) >= 8:
		port := binary.BigEndian.Uint16(b[2:])
		ip := netip.AddrFrom4([4]byte(b[4:8]))
		return fmt.Sprintf("{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr(\"%s\")}", port, ip),
			netip.AddrPortFrom(ip, port).String()
	case family == unix.AF_INET6 && len(b) >= 24:
		port := binary.BigEndian.Uint16(b[2:])
		ip := netip.AddrFrom16([16]byte(b[8:24]))
		text = fmt.Sprintf("{sa_family=AF_INET6, sin6_port=htons(%d), inet_pton(AF_INET6, \"%s\")", port, ip)
		if len(b) >= 28 {
			if scope := binary.NativeEndian.Uint32(b[24:]); scope != 0 {
				text += ", sin6_scope_id=" + zone(scope)
				if !ip.Is4In6() {
					ip = ip.WithZone(zone(scope))
				}
			}
		}
		return text + "}", netip.AddrPortFrom(ip.Unmap(), port).String()
	case family == unix.AF_UNIX:
		name := unixName(b[2:])
		if name == "" {
			return "{sa_family=AF_UNIX}", ""
		}
		return "{sa_family=AF_UNIX, sun_path=" + strconv.Quote(name) + "}", name
	case family == unix.AF_VSOCK && len(b) >= 12:
		port, cid := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:])
		return fmt.Sprintf("{sa_family=AF_VSOCK, svm_cid=%d, svm_port=%d}", cid, port), fmt.Sprintf("%d:%d", cid, port)
	}
	return fmt.Sprintf("{sa_family=%s, %d bytes}", Family(int(family)), len(b)-2), ""
}

// unixName is a path up to its NUL, or an abstract name, which has none, after "@".
func unixName(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if b[0] == 0 {
		if len(b) == 1 {
			return ""
		}
		return "@" + string(b[1:])
	}
	path, _, _ := bytes.Cut(b, []byte{0})
	return string(path)
}

func zone(index uint32) string {
	if i, err := net.InterfaceByIndex(int(int32(index))); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}
