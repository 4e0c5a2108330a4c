package backlog

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// Multicast groups of sock_diag, as bits of nl_groups (enum sknetlink_groups).
const (
	groupInetTCPDestroy  = 1 << 0 // SKNLGRP_INET_TCP_DESTROY
	groupInet6TCPDestroy = 1 << 2 // SKNLGRP_INET6_TCP_DESTROY, IPv4 of dual-stack sockets too
)

// A destroyedSocket is what the kernel says of a TCP socket that it frees
// (sock_diag_broadcast_destroy): after the last descriptor is closed, and when
// what is left of it needs no socket: TIME_WAIT, and FIN_WAIT2 without an owner.
type destroyedSocket struct {
	port   uint16 // local
	remote uint16 // 0: it listened, or was reset: by SO_LINGER, or when its listener closed
	cookie uint64
}

// destroyedSockets hears of each TCP socket of a namespace that is destroyed.
type destroyedSockets struct {
	fd  int
	buf [unix.SizeofNlMsghdr + sizeofInetMsg]byte // the attributes behind it are cut off
}

func openDestroyed(n *Namespace) (d *destroyedSockets, err error) {
	d = &destroyedSockets{fd: -1}
	return d, n.inside(d.open)
}

func (d *destroyedSockets) open() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket NETLINK_SOCK_DIAG", err)
	}
	// Some hundred bytes of buffer go to each; without CAP_NET_ADMIN rmem_max limits it.
	const buffer = 8 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	groups := unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupInetTCPDestroy | groupInet6TCPDestroy}
	if err := unix.Bind(fd, &groups); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("bind SKNLGRP_INET_TCP_DESTROY", err)
	}
	d.fd = fd
	return nil
}

func (d *destroyedSockets) Close() error {
	return os.NewSyscallError("close", unix.Close(d.fd))
}

// read calls each with what has been reported since the last read. It reports
// whether more was, which the buffer couldn't hold.
func (d *destroyedSockets) read(each func(destroyedSocket)) (lost bool, err error) {
	for {
		n, err := receive(d.fd, d.buf[:])
		switch {
		case err == unix.ENOBUFS:
			lost = true
		case err == unix.EAGAIN:
			return lost, nil
		case err != nil:
			return lost, os.NewSyscallError("read SKNLGRP_INET_TCP_DESTROY", err)
		case n == len(d.buf):
			each(parseDestroyed(d.buf[unix.SizeofNlMsghdr:]))
		}
	}
}

func parseDestroyed(b []byte) destroyedSocket {
	return destroyedSocket{
		port:   binary.BigEndian.Uint16(b[4:]),
		remote: binary.BigEndian.Uint16(b[6:]),
		cookie: uint64(binary.NativeEndian.Uint32(b[44:])) | uint64(binary.NativeEndian.Uint32(b[48:]))<<32,
	}
}
