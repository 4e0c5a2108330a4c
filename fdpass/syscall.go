package fdpass

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// sendmsg and recvmsg are the calls alone: those of x/sys allocate, and look at
// the address of every message.

func sendmsg(fd sock.FD, p, control []byte) (int, error) {
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	msg := unix.Msghdr{Iov: &iov, Control: unsafe.SliceData(control)}
	msg.SetIovlen(1)
	msg.SetControllen(len(control))
	for {
		n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, failed("sendmsg", errno)
		}
	}
}

// recvmsg returns the lengths of the payload and of the control data, and the
// kernel's MSG_ flags.
func recvmsg(fd sock.FD, p, control []byte, how int) (n, nc, flags int, err error) {
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	msg := unix.Msghdr{Iov: &iov, Control: unsafe.SliceData(control)}
	msg.SetIovlen(1)
	msg.SetControllen(len(control))
	for {
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)),
			uintptr(how|unix.MSG_CMSG_CLOEXEC))
		switch errno {
		case 0:
			return int(n), int(msg.Controllen), int(msg.Flags), nil
		case unix.EINTR:
		default:
			return 0, 0, 0, failed("recvmsg", errno)
		}
	}
}

// EAGAIN is the ordinary end of a burst, so it is made once.
var (
	errSendAgain    = os.NewSyscallError("sendmsg", unix.EAGAIN)
	errReceiveAgain = os.NewSyscallError("recvmsg", unix.EAGAIN)
)

func failed(call string, errno unix.Errno) error {
	switch {
	case errno != unix.EAGAIN:
		return os.NewSyscallError(call, errno)
	case call == "recvmsg":
		return errReceiveAgain
	}
	return errSendAgain
}
