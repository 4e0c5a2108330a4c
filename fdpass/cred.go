package fdpass

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Cred says who a process is, as its id and effective user and group look from
// the reader's namespaces. PID is 0 for a process that can't be seen from there.
type Cred struct {
	PID, UID, GID int
}

// nobody stands for credentials that did not come; a zero UID would be root.
var nobody = Cred{0, -1, -1}

// credentials returns the SCM_CREDENTIALS in control data.
func credentials(control []byte) Cred {
	for h, data, rest, ok := cut(control); ok; h, data, rest, ok = cut(rest) {
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_CREDENTIALS && len(data) >= unix.SizeofUcred {
			var u unix.Ucred
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&u)), unix.SizeofUcred), data)
			return Cred{int(u.Pid), int(u.Uid), int(u.Gid)}
		}
	}
	return nobody
}

// PeerCred tells who made the connection (SO_PEERCRED): for the side that
// accepted, the process that called connect(2); for the side that connected, the
// one that called listen(2), as it was then; for a socket pair, its maker.
func (c *Conn) PeerCred() (Cred, error) {
	var u *unix.Ucred
	err := c.control("getsockopt", func(fd int) (err error) {
		u, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return nobody, err
	}
	return Cred{int(u.Pid), int(u.Uid), int(u.Gid)}, nil
}

// PeerPidfd returns a pidfd, close-on-exec, of the process that [Conn.PeerCred]
// tells: it can be waited for and signalled without the danger that its id is
// another's by then. The caller owns it. Linux 6.5; before, the error is
// [errors.ErrUnsupported]. See pidfd_open(2).
func (c *Conn) PeerPidfd() (sock.FD, error) {
	pidfd := sock.None
	err := c.control("getsockopt", func(fd int) error {
		n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if err == unix.ENOPROTOOPT {
			return fmt.Errorf("%w: SO_PEERPIDFD needs Linux 6.5: %w", errors.ErrUnsupported, err)
		}
		if err == nil {
			pidfd = sock.FD(n)
		}
		return err
	})
	return pidfd, err
}

// SetPassCred makes the kernel put the sender's credentials on messages
// (SO_PASSCRED), for [Conn.ReceiveCred].
func (c *Conn) SetPassCred(on bool) error {
	v := 0
	if on {
		v = 1
	}
	return c.control("setsockopt", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, v)
	})
}

func (c *Conn) control(call string, f func(fd int) error) error {
	var err error
	if closed := c.raw.Control(func(fd uintptr) { err = os.NewSyscallError(call, f(int(fd))) }); closed != nil {
		err = closed
	}
	return c.fail(call, err)
}
