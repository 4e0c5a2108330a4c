package connwrap

import (
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxIovecs is the kernel's UIO_MAXIOV.
const maxIovecs = 1024

// WriteBuffers writes all of v with writev(2), up to 1024 buffers a call, and
// consumes v as [net.Buffers.WriteTo] does, which for want of an exported
// interface would make one write of each buffer here. No other write comes in
// between. On a "unixpacket" socket each call is one message.
func (c *Conn) WriteBuffers(v *net.Buffers) (int64, error) {
	var written int64
	var errno unix.Errno
	iovecs := make([]unix.Iovec, 0, min(len(*v), maxIovecs))
	err := c.rawWrite(func(fd uintptr) bool {
		for len(*v) > 0 {
			iovecs = appendIovecs(iovecs[:0], *v)
			var n uintptr
			n, _, errno = unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iovecs[0])), uintptr(len(iovecs)))
			switch errno {
			case 0:
				written += int64(n)
				consume(v, int(n))
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default:
				return true
			}
		}
		return true
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("writev", errno)
	}
	return written, c.opError("writev", err)
}

// appendIovecs describes the first buffers of v.
func appendIovecs(iovecs []unix.Iovec, v net.Buffers) []unix.Iovec {
	for _, b := range v[:min(len(v), maxIovecs)] {
		iovec := unix.Iovec{Base: unsafe.SliceData(b)}
		iovec.SetLen(len(b))
		iovecs = append(iovecs, iovec)
	}
	return iovecs
}

func consume(v *net.Buffers, n int) {
	for len(*v) > 0 {
		b := (*v)[0]
		if len(b) > n {
			(*v)[0] = b[n:]
			return
		}
		n -= len(b)
		(*v)[0] = nil
		*v = (*v)[1:]
	}
}
