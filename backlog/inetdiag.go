package backlog

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// States of sock_diag, from include/net/tcp_states.h. unix_diag uses them too.
const (
	tcpEstablished   = 1
	tcpSynRecv       = 3
	tcpFinWait1      = 4
	tcpFinWait2      = 5
	tcpClose         = 7
	tcpCloseWait     = 8
	tcpLastAck       = 9
	tcpListen        = 10
	tcpClosing       = 11
	tcpBoundInactive = 13 // bound, neither listening nor connected; dumped since 6.8
)

// Numbers of include/uapi/linux/inet_diag.h.
const (
	sizeofInetReq = 56 // struct inet_diag_req_v2
	sizeofInetMsg = 72 // struct inet_diag_msg

	inetDiagReqProtocol = 3

	inetDiagInfo      = 2
	inetDiagSkMeminfo = 7
	inetDiagSkV6Only  = 11

	skMeminfoDrops = 8 // SK_MEMINFO_DROPS

	timerTimeWait = 3 // idiag_timer of what is left of a socket in TIME_WAIT

	noCookie = ^uint64(0) // INET_DIAG_NOCOOKIE
)

var families = [...]uint8{unix.AF_INET, unix.AF_INET6}

// An inetSocket is one row of inet_diag.
type inetSocket struct {
	family, state, timer, retrans uint8

	local, remote netip.AddrPort
	iface         uint32
	cookie        uint64
	expires       time.Duration // of the timer
	rqueue        uint32
	wqueue        uint32
	uid           uint32
	inode         uint32 // 0: no process has it

	v6only   bool
	drops    uint32
	lastData time.Duration // tcpi_last_data_sent
}

// An inetRequest asks inet_diag for sockets.
type inetRequest struct {
	family     uint8
	states     uint32
	attributes uint8 // bits 1<<(INET_DIAG_X-1)
	local      netip.AddrPort
	iface      uint32
	cookie     uint64
}

const (
	withInfo    = 1 << (inetDiagInfo - 1)
	withMeminfo = 1 << (inetDiagSkMeminfo - 1)
)

// bytes is struct inet_diag_req_v2. A dump looks at the port of the local
// address only, and 0 is every port.
func (r inetRequest) bytes() (b [sizeofInetReq]byte) {
	b[0] = r.family
	b[1] = unix.IPPROTO_TCP
	b[2] = r.attributes
	binary.NativeEndian.PutUint32(b[4:], r.states)
	binary.BigEndian.PutUint16(b[8:], r.local.Port())
	switch ip := r.local.Addr(); {
	case ip.Is4():
		v4 := ip.As4()
		copy(b[12:], v4[:])
	case ip.Is6():
		v6 := ip.As16()
		copy(b[12:], v6[:])
	}
	binary.NativeEndian.PutUint32(b[44:], r.iface)
	binary.NativeEndian.PutUint32(b[48:], uint32(r.cookie))
	binary.NativeEndian.PutUint32(b[52:], uint32(r.cookie>>32))
	return b
}

func parseInet(b []byte) (inetSocket, error) {
	if len(b) < sizeofInetMsg {
		return inetSocket{}, errTruncated
	}
	s := inetSocket{
		family:  b[0],
		state:   b[1],
		timer:   b[2],
		retrans: b[3],
		iface:   binary.NativeEndian.Uint32(b[40:]),
		cookie:  uint64(binary.NativeEndian.Uint32(b[44:])) | uint64(binary.NativeEndian.Uint32(b[48:]))<<32,
		expires: time.Duration(binary.NativeEndian.Uint32(b[52:])) * time.Millisecond,
		rqueue:  binary.NativeEndian.Uint32(b[56:]),
		wqueue:  binary.NativeEndian.Uint32(b[60:]),
		uid:     binary.NativeEndian.Uint32(b[64:]),
		inode:   binary.NativeEndian.Uint32(b[68:]),
	}
	s.local = netip.AddrPortFrom(inetAddr(s.family, b[8:24], s.iface), binary.BigEndian.Uint16(b[4:]))
	s.remote = netip.AddrPortFrom(inetAddr(s.family, b[24:40], s.iface), binary.BigEndian.Uint16(b[6:]))
	err := attributes(b[sizeofInetMsg:], func(kind uint16, v []byte) {
		switch {
		case kind == inetDiagSkV6Only && len(v) > 0:
			s.v6only = v[0] != 0
		case kind == inetDiagSkMeminfo && len(v) >= 4*(skMeminfoDrops+1):
			s.drops = binary.NativeEndian.Uint32(v[4*skMeminfoDrops:])
		case kind == inetDiagInfo && len(v) >= lastDataSent+4:
			s.lastData = time.Duration(binary.NativeEndian.Uint32(v[lastDataSent:])) * time.Millisecond
		}
	})
	return s, err
}

const lastDataSent = int(unsafe.Offsetof(unix.TCPInfo{}.Last_data_sent))

// inetAddr gives a link-local address the zone without which it means nothing.
func inetAddr(family uint8, b []byte, iface uint32) netip.Addr {
	switch family {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(b))
	case unix.AF_INET6:
		ip := netip.AddrFrom16([16]byte(b))
		if iface != 0 && ip.IsLinkLocalUnicast() && !ip.Is4In6() {
			ip = ip.WithZone(strconv.FormatUint(uint64(iface), 10))
		}
		return ip
	}
	return netip.Addr{}
}

// inetDump lists the TCP sockets of both families that a request asks for and
// row keeps.
func inetDump[T any](d *diag, r inetRequest, row func(inetSocket) (v T, keep bool)) (all []T, err error) {
	for _, r.family = range families {
		request := r.bytes()
		all, err = dump(d, all, request[:], func(body []byte) (v T, keep bool, err error) {
			s, err := parseInet(body)
			if err == nil {
				v, keep = row(s)
			}
			return v, keep, err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
