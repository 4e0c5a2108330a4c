package backlog

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// States of sock_diag, from include/net/tcp_states.h. unix_diag uses them too.
const (
	tcpClose         = 7
	tcpListen        = 10
	tcpBoundInactive = 13 // bound, neither listening nor connected; dumped since 6.8
)

// Numbers of include/uapi/linux/inet_diag.h and unix_diag.h.
const (
	inetDiagSkV6Only = 11

	unixDiagName  = 0
	unixDiagVFS   = 1
	unixDiagRqLen = 4
	unixDiagUID   = 7

	udiagShowName  = 0x01
	udiagShowVFS   = 0x02
	udiagShowRqLen = 0x10
	udiagShowUID   = 0x40
)

const (
	sizeofInetReq = 56 // struct inet_diag_req_v2
	sizeofInetMsg = 72 // struct inet_diag_msg
	sizeofUnixReq = 24 // struct unix_diag_req
	sizeofUnixMsg = 16 // struct unix_diag_msg
)

var errTruncated = errors.New("sock_diag: truncated message")

// An inetSocket is one row of inet_diag.
type inetSocket struct {
	state  uint8
	local  netip.AddrPort
	v6only bool
	uid    uint32
	inode  uint32
}

// A unixSocket is one row of unix_diag.
type unixSocket struct {
	state        uint8
	inode        uint32
	name         string // as in sun_path
	vfsInode     uint32 // of the file it is bound to
	vfsDev       uint32 // the kernel's dev_t, major<<20 | minor
	depth, limit uint32
	uid          uint32
}

// inetSockets lists the TCP sockets of a family in the given states.
func inetSockets(family uint8, states uint32) (all []inetSocket, err error) {
	req := make([]byte, sizeofInetReq)
	req[0] = family
	req[1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[4:], states)
	err = query(unix.NLM_F_DUMP, req, func(msg []byte) error {
		s, err := parseInet(msg)
		all = append(all, s)
		return err
	})
	return all, err
}

// unixSockets lists all unix sockets, with what show (UDIAG_SHOW_*) asks for.
func unixSockets(show uint32) (all []unixSocket, err error) {
	err = query(unix.NLM_F_DUMP, unixRequest(0, show), func(msg []byte) error {
		s, err := parseUnix(msg)
		all = append(all, s)
		return err
	})
	return all, err
}

// unixByInode looks one unix socket up. ENOENT: this network namespace has none.
func unixByInode(inode uint32) (s unixSocket, err error) {
	err = query(0, unixRequest(inode, udiagShowRqLen), func(msg []byte) (err error) {
		s, err = parseUnix(msg)
		return err
	})
	return s, err
}

func unixRequest(inode, show uint32) []byte {
	req := make([]byte, sizeofUnixReq)
	req[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(req[4:], ^uint32(0)) // every state
	binary.NativeEndian.PutUint32(req[8:], inode)
	binary.NativeEndian.PutUint32(req[12:], show)
	binary.NativeEndian.PutUint64(req[16:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	return req
}

func parseInet(b []byte) (inetSocket, error) {
	if len(b) < sizeofInetMsg {
		return inetSocket{}, errTruncated
	}
	var ip netip.Addr
	switch b[0] {
	case unix.AF_INET:
		ip = netip.AddrFrom4([4]byte(b[8:]))
	case unix.AF_INET6:
		ip = netip.AddrFrom16([16]byte(b[8:]))
	}
	s := inetSocket{
		state: b[1],
		local: netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[4:])),
		uid:   binary.NativeEndian.Uint32(b[64:]),
		inode: binary.NativeEndian.Uint32(b[68:]),
	}
	err := attributes(b[sizeofInetMsg:], func(kind uint16, v []byte) {
		if kind == inetDiagSkV6Only && len(v) > 0 {
			s.v6only = v[0] != 0
		}
	})
	return s, err
}

func parseUnix(b []byte) (unixSocket, error) {
	if len(b) < sizeofUnixMsg {
		return unixSocket{}, errTruncated
	}
	s := unixSocket{state: b[2], inode: binary.NativeEndian.Uint32(b[4:])}
	err := attributes(b[sizeofUnixMsg:], func(kind uint16, v []byte) {
		switch {
		case kind == unixDiagName:
			s.name = string(v)
		case kind == unixDiagVFS && len(v) >= 8:
			s.vfsInode = binary.NativeEndian.Uint32(v)
			s.vfsDev = binary.NativeEndian.Uint32(v[4:])
		case kind == unixDiagRqLen && len(v) >= 8:
			s.depth = binary.NativeEndian.Uint32(v)
			s.limit = binary.NativeEndian.Uint32(v[4:])
		case kind == unixDiagUID && len(v) >= 4:
			s.uid = binary.NativeEndian.Uint32(v)
		}
	})
	return s, err
}

// attributes walks netlink attributes. Callers ignore kinds they don't know, so
// that a newer kernel does no harm.
func attributes(b []byte, each func(kind uint16, value []byte)) error {
	for len(b) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofNlAttr || n > len(b) {
			return errTruncated
		}
		each(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:n])
		b = b[min(align4(n), len(b)):]
	}
	return nil
}

// query sends one sock_diag request and calls each with the body of every answer.
func query(flags uint16, body []byte, each func([]byte) error) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket NETLINK_SOCK_DIAG", err)
	}
	defer unix.Close(fd)
	if err := send(fd, flags, body); err != nil {
		return os.NewSyscallError("sendto NETLINK_SOCK_DIAG", err)
	}
	buf := make([]byte, 1<<10)
	if flags&unix.NLM_F_DUMP != 0 {
		buf = make([]byte, 32<<10) // the most that netlink_dump fills at a time
	}
	for done := false; !done; {
		n, err := receive(fd, buf)
		if err != nil {
			return os.NewSyscallError("recvfrom NETLINK_SOCK_DIAG", err)
		}
		if done, err = messages(buf[:n], each); err != nil {
			return err
		}
		done = done || flags&unix.NLM_F_DUMP == 0
	}
	return nil
}

func send(fd int, flags uint16, body []byte) error {
	msg := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(msg[0:], uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(msg[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|flags)
	return unix.Sendto(fd, append(msg, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// receive waits for the answer, which the kernel has queued when sendto returns.
func receive(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// messages walks the netlink messages of one datagram, and reports whether the
// last one of a dump was among them.
func messages(b []byte, each func([]byte) error) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return false, errTruncated
		}
		body := b[unix.SizeofNlMsghdr:n]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, errTruncated
			}
			return false, os.NewSyscallError("sock_diag", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
		case unix.SOCK_DIAG_BY_FAMILY:
			if err := each(body); err != nil {
				return false, err
			}
		}
		b = b[min(align4(n), len(b)):]
	}
	return false, nil
}

func align4(n int) int { return (n + 3) &^ 3 }
