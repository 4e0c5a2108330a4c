package sock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Source yields connections until EAGAIN: a listening socket, whose [FD] is
// one, or a queue of connections that another process accepted.
type Source interface {
	// Accept takes one connection that waits. The caller owns the descriptor.
	// An error that is EAGAIN means that none waits.
	Accept() (FD, Addr, error)

	// Descriptor is what becomes readable when a connection waits. The source
	// keeps owning it.
	Descriptor() FD
}

// Descriptor is the listening socket itself.
func (fd FD) Descriptor() FD { return fd }

// Accept takes one connection from the accept queue, close-on-exec and
// non-blocking, and its peer's address. The caller owns it. It makes one system
// call and allocates nothing (but for the name of a unix peer that has one).
//
// EAGAIN: the queue is empty. EMFILE, ENFILE: no descriptor is left, and the
// connection stays queued. EINVAL: the socket doesn't listen. A connection that
// its client has reset already is accepted too; its first read fails.
// See accept4(2).
func (fd FD) Accept() (FD, Addr, error) { return fd.accept(false) }

// TryAccept is Accept for loops, and costs less: it isn't announced to the Go
// scheduler. The caller knows that it won't block, since the socket is
// non-blocking or a connection waits that nobody else takes. If it does block it
// may hold up all of the program.
func (fd FD) TryAccept() (FD, Addr, error) { return fd.accept(true) }

func (fd FD) accept(raw bool) (FD, Addr, error) {
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	// x/sys's Accept4 asks for SO_PROTOCOL and allocates twice each time.
	for {
		var rsa unix.RawSockaddrAny
		n := uint32(unsafe.Sizeof(rsa))
		var conn uintptr
		var errno unix.Errno
		if raw {
			conn, _, errno = unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&rsa)), uintptr(unsafe.Pointer(&n)), flags, 0, 0)
		} else {
			conn, _, errno = unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&rsa)), uintptr(unsafe.Pointer(&n)), flags, 0, 0)
		}
		switch errno {
		case 0:
			return FD(conn), decode(&rsa, n), nil
		case unix.EINTR:
			continue
		}
		return None, Addr{}, wouldBlock(errAcceptAgain, "accept4", errno)
	}
}
