package accept

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestClassify(t *testing.T) {
	classes := map[Class][]error{
		Again: {unix.EAGAIN, unix.EWOULDBLOCK, os.ErrDeadlineExceeded},
		Retry: {unix.EINTR, unix.ECONNABORTED, unix.ECONNRESET, unix.ENETDOWN, unix.EPROTO, unix.ENOPROTOOPT,
			unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ETIMEDOUT},
		Exhausted: {unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC},
		Closed:    {unix.EBADF, unix.ENOTSOCK, unix.EINVAL, net.ErrClosed, os.ErrClosed, io.EOF},
		Fatal:     {unix.EOPNOTSUPP, unix.EPERM, unix.EFAULT, errors.New("something else"), context.Canceled},
	}
	for want, errs := range classes {
		for _, err := range errs {
			for _, err := range []error{
				err,
				os.NewSyscallError("accept4", err),
				&net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)},
				fmt.Errorf("wrapped: %w", err),
				errors.Join(errors.New("first"), err),
			} {
				if got := Classify(err); got != want {
					t.Errorf("%v is %v, want %v", err, got, want)
				}
			}
		}
	}
}

func TestClassifyRealErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ln.Close()
	_, err = ln.Accept()
	if got := Classify(err); got != Closed {
		t.Errorf("a closed net.Listener: %v is %v", err, got)
	}
	_, _, err = tcp(t).Accept()
	if got := Classify(err); got != Again {
		t.Errorf("nothing waits: %v is %v", err, got)
	}
	if n := testing.AllocsPerRun(100, func() { Classify(err) }); n != 0 {
		t.Errorf("classifying %v allocates %v times", err, n)
	}
}
