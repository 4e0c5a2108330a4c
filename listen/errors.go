package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/sock"
)

// InUseError is EADDRINUSE together with who holds the address, inside of the
// [*os.SyscallError] that bind(2) or listen(2) gave.
type InUseError struct {
	Holders []backlog.Owner // one at least
}

func (e *InUseError) Error() string {
	const most = 3
	var names []string
	for i, o := range e.Holders {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(e.Holders)-most))
			break
		}
		names = append(names, o.String())
	}
	return fmt.Sprintf("%v (held by %s)", unix.EADDRINUSE, strings.Join(names, ", "))
}

// Unwrap gives the errno.
func (e *InUseError) Unwrap() error { return unix.EADDRINUSE }

// nameHolder adds the holder of the address to an error that is EADDRINUSE.
func nameHolder(err error, addr sock.Addr) error {
	var call *os.SyscallError
	if !errors.As(err, &call) || call.Err != unix.EADDRINUSE {
		return err
	}
	holders, _ := backlog.Holders(addr)
	if len(holders) == 0 {
		return err
	}
	return &os.SyscallError{Syscall: call.Syscall, Err: &InUseError{holders}}
}

func opError(op, network string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: addr, Err: err}
}

// isAgain reports the end of what waits.
func isAgain(err error) bool { return errors.Is(err, unix.EAGAIN) }
