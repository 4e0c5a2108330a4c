package connwrap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// An end is one side of a splice: do calls f with its descriptor each time that
// it is ready, until f is done.
type end struct {
	do  func(f func(fd uintptr) bool) error
	eof func() // called at the end of the stream, if not nil
}

// minSplice is what a pipe is worth making for; a buffer is cheaper for less.
const minSplice = 64 << 10

// splice moves up to remain bytes from src to dst through a pipe, without
// copying them to user space. It has done nothing if it is not handled.
//
// The pipe is made anew each time and keeps its default size of 16 buffers: none
// stays open behind anybody's back, and fs.pipe-user-pages-soft allows a
// thousand of them where it allows 64 of 1 MiB.
func splice(dst, src *end, remain int64) (written int64, handled bool, err error) {
	if remain < minSplice {
		return 0, false, nil
	}
	var p [2]int
	if unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return 0, false, nil
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])

	var piped int64
	fill := func(fd int) (int64, error) {
		n, err := unix.Splice(fd, nil, p[1], nil, int(min(remain, 1<<20)), unix.SPLICE_F_NONBLOCK)
		return int64(n), err
	}
	drain := func(fd int) (int64, error) {
		n, err := unix.Splice(p[0], nil, fd, nil, int(piped), unix.SPLICE_F_NONBLOCK)
		return int64(n), err
	}
	for remain > 0 {
		piped, err = src.once(fill)
		if errors.Is(err, unix.EINVAL) && written == 0 {
			return 0, false, nil // a socket without splice_read
		}
		if err != nil {
			return written, true, err
		}
		if piped == 0 {
			if src.eof != nil {
				src.eof()
			}
			break
		}
		for piped > 0 {
			n, err := dst.once(drain)
			if err != nil {
				return written, true, err
			}
			piped -= n
			remain -= n
			written += n
		}
	}
	return written, true, nil
}

// once makes one call that doesn't meet EAGAIN. The pipe is never what would
// block: it is empty when it is filled and has the data when it is drained.
func (e *end) once(call func(fd int) (int64, error)) (n int64, err error) {
	var errno error
	err = e.do(func(fd uintptr) bool {
		for {
			if n, errno = call(int(fd)); errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = os.NewSyscallError("splice", errno)
	}
	return max(n, 0), err
}
