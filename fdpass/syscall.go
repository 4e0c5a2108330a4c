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
//
// Nothing at all is the end of the stream, but the kernel may say so too early:
// unix_dgram_recvmsg, which serves SEQPACKET, finds the queue empty and only then
// looks whether the peer has shut down, and a last message may come in between.
// After the shutdown none can come, so asking again is conclusive.
func recvmsg(fd sock.FD, p, control []byte, how int) (n, nc, flags int, err error) {
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	msg := unix.Msghdr{Iov: &iov, Control: unsafe.SliceData(control)}
	msg.SetIovlen(1)
	for ended := false; ; {
		msg.SetControllen(len(control))
		var n uintptr
		var errno unix.Errno
		if flags := uintptr(how | unix.MSG_CMSG_CLOEXEC); how&unix.MSG_DONTWAIT != 0 { // it can't block, so the Go scheduler needn't know
			n, _, errno = unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), flags)
		} else {
			n, _, errno = unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), flags)
		}
		switch errno {
		case 0:
			if n == 0 && msg.Controllen == 0 && msg.Flags&unix.MSG_CTRUNC == 0 && !ended {
				ended = true
				continue
			}
			return int(n), int(msg.Controllen), int(msg.Flags), nil
		case unix.EINTR:
		default:
			if ended && errno == unix.EAGAIN {
				return 0, 0, 0, nil // it was an empty message
			}
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
