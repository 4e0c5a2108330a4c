package accept

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Class is what an error of accept means for whoever accepts.
type Class int

// Classes of errors.
const (
	// Fatal: nothing is known that would help. The source is useless.
	Fatal Class = iota

	// Again: nothing waits. Accept once the source is readable.
	// EAGAIN, a deadline that passed.
	Again

	// Retry: this connection is gone, others may wait. Accept at once.
	// EINTR, ECONNABORTED, and the network errors of the new connection that
	// accept(2) lists: ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET,
	// EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, and ECONNRESET. Not its EOPNOTSUPP,
	// which is what a socket that can't accept says every time.
	Retry

	// Exhausted: there is no descriptor or no memory now. The connection stays
	// queued. Accept again a little later.
	// EMFILE, ENFILE, ENOBUFS, ENOMEM, and ENOSPC of epoll_ctl(2).
	Exhausted

	// Closed: the source has ended.
	// EBADF, ENOTSOCK, EINVAL (the socket doesn't listen any more),
	// [net.ErrClosed], [os.ErrClosed], [io.EOF].
	Closed
)

func (c Class) String() string {
	return [...]string{"fatal", "again", "retry", "exhausted", "closed"}[c]
}

// Classify says which class err is of. It takes any wrapping of an errno, and so
// the errors of [sock.FD.Accept] as well as those of a [net.Listener]. It
// allocates nothing for an errno.
func Classify(err error) Class {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return classOf(errno)
	}
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed), errors.Is(err, io.EOF):
		return Closed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Again
	}
	return Fatal
}

func classOf(errno syscall.Errno) Class {
	switch errno {
	case unix.EAGAIN:
		return Again
	case unix.EINTR, unix.ECONNABORTED, unix.ECONNRESET, unix.ENETDOWN, unix.EPROTO, unix.ENOPROTOOPT,
		unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ETIMEDOUT:
		return Retry
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC:
		return Exhausted
	case unix.EBADF, unix.ENOTSOCK, unix.EINVAL:
		return Closed
	}
	return Fatal
}
