package sock

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FD is a file descriptor, owned by whoever holds it.
type FD int

// None is no descriptor.
const None FD = -1

// Family is an address family, AF_* of socket(2).
type Family uint16

// The families that accept connections.
const (
	Inet  Family = unix.AF_INET
	Inet6 Family = unix.AF_INET6
	Unix  Family = unix.AF_UNIX
	Vsock Family = unix.AF_VSOCK
)

func (f Family) String() string {
	switch f {
	case unix.AF_UNSPEC:
		return "unspec"
	case Inet:
		return "inet"
	case Inet6:
		return "inet6"
	case Unix:
		return "unix"
	case Vsock:
		return "vsock"
	}
	return fmt.Sprintf("family %d", uint16(f))
}

// Type is a socket type, SOCK_* of socket(2).
type Type int

// The types that accept connections.
const (
	Stream    Type = unix.SOCK_STREAM
	SeqPacket Type = unix.SOCK_SEQPACKET
)

func (t Type) String() string {
	switch t {
	case Stream:
		return "stream"
	case SeqPacket:
		return "seqpacket"
	case unix.SOCK_DGRAM:
		return "dgram"
	}
	return fmt.Sprintf("type %d", int(t))
}

// Protocol is a protocol of a family, IPPROTO_* of socket(2). Zero is the
// family's own: TCP for the internet families.
type Protocol int

// Protocols. An MPTCP listener refuses several TCP options, reuseport
// programs and its own drop counter (Linux 6.18), so it is never a default.
const (
	TCP   Protocol = unix.IPPROTO_TCP
	MPTCP Protocol = unix.IPPROTO_MPTCP
)

func (p Protocol) String() string {
	switch p {
	case 0:
		return "default"
	case TCP:
		return "tcp"
	case MPTCP:
		return "mptcp"
	}
	return fmt.Sprintf("protocol %d", int(p))
}

// Socket creates a socket, close-on-exec and non-blocking. The caller owns it.
// EAFNOSUPPORT means that the kernel lacks the family, EPROTONOSUPPORT the
// protocol, EMFILE and ENFILE that there is no descriptor left. See socket(2).
func Socket(f Family, t Type, p Protocol) (FD, error) {
	fd, err := unix.Socket(int(f), int(t)|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(p))
	if err != nil {
		return None, os.NewSyscallError("socket", err)
	}
	return FD(fd), nil
}

// Pair creates two connected unix sockets, close-on-exec and non-blocking. The
// caller owns both. See socketpair(2).
func Pair(t Type) (FD, FD, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, int(t)|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return None, None, os.NewSyscallError("socketpair", err)
	}
	return FD(p[0]), FD(p[1]), nil
}

// Bind gives the socket its local address. EADDRINUSE: another socket has it
// (see [ReuseAddr] and [ReusePort]); EADDRNOTAVAIL: no interface has it; EACCES:
// a port below net.ipv4.ip_unprivileged_port_start; ENAMETOOLONG: a unix name
// above [MaxUnixName]. See bind(2).
func (fd FD) Bind(a Addr) error {
	return fd.withAddr("bind", unix.SYS_BIND, a)
}

// Connect connects the socket. On a non-blocking socket EINPROGRESS means that
// the handshake goes on: wait until it is writable and read SO_ERROR
// ([SockError]). EINTR is not retried, since the handshake goes on then too.
// EAGAIN on a unix socket: the listener's accept queue is full. See connect(2).
func (fd FD) Connect(a Addr) error {
	return fd.withAddr("connect", unix.SYS_CONNECT, a)
}

func (fd FD) withAddr(name string, trap uintptr, a Addr) error {
	var rsa unix.RawSockaddrAny
	n, err := a.encode(&rsa)
	if err != nil {
		return os.NewSyscallError(name, err)
	}
	_, _, errno := unix.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&rsa)), uintptr(n))
	if errno != 0 {
		return os.NewSyscallError(name, errno)
	}
	return nil
}

// Listen makes the socket a listening one. backlog limits each of its two
// queues: backlog+1 connections that nobody has accepted yet, and backlog+1
// unfinished handshakes. The kernel clamps it to net.core.somaxconn; a
// negative one means just that much. Calling it again changes the limit and
// keeps what is queued. See listen(2) and inet_csk_listen_start in the kernel.
func (fd FD) Listen(backlog int) error {
	// The kernel takes an int; one beyond it would wrap to any limit.
	backlog = max(min(backlog, 1<<31-1), -1)
	return os.NewSyscallError("listen", unix.Listen(int(fd), backlog))
}

// Shutdown ends one or both directions for every holder of the socket: how is
// unix.SHUT_RD, SHUT_WR or SHUT_RDWR. On a TCP listener SHUT_RD stops listening
// and resets what is queued. See shutdown(2).
func (fd FD) Shutdown(how int) error {
	return os.NewSyscallError("shutdown", unix.Shutdown(int(fd), how))
}

// Close gives the descriptor back to the kernel; it is gone even when an error
// is returned, so it is never retried. See close(2).
func (fd FD) Close() error { return fd.close(fd.closesAtOnce()) }

// CloseNow is Close without its question to the kernel whether the socket has
// SO_LINGER. The caller knows that it has not: its close might hold up all of the
// program.
func (fd FD) CloseNow() error { return fd.close(true) }

func (fd FD) close(atOnce bool) error {
	var errno unix.Errno
	if atOnce {
		_, _, errno = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	} else {
		_, _, errno = unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	}
	if errno != 0 {
		return os.NewSyscallError("close", errno)
	}
	return nil
}

// Dup returns another descriptor, close-on-exec, for the same open file
// description: O_NONBLOCK, options and queues are shared. The caller owns it.
// See fcntl(2), F_DUPFD_CLOEXEC.
func (fd FD) Dup() (FD, error) {
	for {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return None, os.NewSyscallError("fcntl", err)
		}
		return FD(n), nil
	}
}

// Getsockname returns the local address. See getsockname(2).
func (fd FD) Getsockname() (Addr, error) {
	return fd.name("getsockname", unix.SYS_GETSOCKNAME)
}

// Getpeername returns the remote address. ENOTCONN: there is no peer, or it
// has reset the connection. See getpeername(2).
func (fd FD) Getpeername() (Addr, error) {
	return fd.name("getpeername", unix.SYS_GETPEERNAME)
}

func (fd FD) name(call string, trap uintptr) (Addr, error) {
	var rsa unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(rsa))
	_, _, errno := unix.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&rsa)), uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return Addr{}, os.NewSyscallError(call, errno)
	}
	return decode(&rsa, n), nil
}

// Read reads once. n == 0 with a nil error is the end of the stream. EAGAIN:
// nothing has arrived. See read(2).
func (fd FD) Read(p []byte) (n int, err error) {
	for {
		n, err = unix.Read(int(fd), p)
		if err != unix.EINTR {
			return max(n, 0), wouldBlock(errReadAgain, "read", err)
		}
	}
}

// Write writes once, and may write less than p. EAGAIN: the send buffer is
// full. Go's runtime turns SIGPIPE on a socket into EPIPE. See write(2).
func (fd FD) Write(p []byte) (n int, err error) {
	for {
		n, err = unix.Write(int(fd), p)
		if err != unix.EINTR {
			return max(n, 0), wouldBlock(errWriteAgain, "write", err)
		}
	}
}

// Recv is recv(2). With unix.MSG_DONTWAIT it doesn't wait even if the socket is a
// blocking one, and costs less than Read: a call that can't block isn't announced to
// the Go scheduler. n == 0 with a nil error is the end of the stream.
func (fd FD) Recv(p []byte, flags int) (int, error) {
	return fd.transfer(unix.SYS_RECVFROM, p, flags, "recv", errRecvAgain)
}

// Send is send(2), with MSG_NOSIGNAL; it may send less than p. With
// unix.MSG_DONTWAIT it is what Recv is to Read.
func (fd FD) Send(p []byte, flags int) (int, error) {
	return fd.transfer(unix.SYS_SENDTO, p, flags|unix.MSG_NOSIGNAL, "send", errSendAgain)
}

func (fd FD) transfer(trap uintptr, p []byte, flags int, call string, again error) (int, error) {
	size := uintptr(len(p))
	for {
		var n uintptr
		var errno unix.Errno
		if flags&unix.MSG_DONTWAIT != 0 {
			n, _, errno = unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), size, uintptr(flags), 0, 0)
		} else {
			n, _, errno = unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), size, uintptr(flags), 0, 0)
		}
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, wouldBlock(again, call, errno)
	}
}

// EAGAIN is the ordinary end of a burst, so it is made once.
var (
	errReadAgain   = os.NewSyscallError("read", unix.EAGAIN)
	errWriteAgain  = os.NewSyscallError("write", unix.EAGAIN)
	errRecvAgain   = os.NewSyscallError("recv", unix.EAGAIN)
	errSendAgain   = os.NewSyscallError("send", unix.EAGAIN)
	errAcceptAgain = os.NewSyscallError("accept4", unix.EAGAIN)
)

func wouldBlock(again error, call string, err error) error {
	if err == unix.EAGAIN {
		return again
	}
	return os.NewSyscallError(call, err)
}
