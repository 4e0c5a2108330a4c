package sock

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An Option is one socket option whose value in Go is a T. The variables of
// this package are the catalogue: [ReusePort].Set(fd, true), [RcvBuf].Get(fd).
//
// The first word of each definition names the T: flag is bool, number is int,
// duration and timeval are [time.Duration], text is string, blob is []byte,
// program is []unix.SockFilter, descriptor is [FD], pendingError is error,
// action is struct{} and same[K] is K.
type Option[T any] struct {
	info  Info
	codec codec[T]
}

// Info says what an option is, apart from any socket. Inherited is for the family
// that the option is for: of SOL_SOCKET's, TCP connections inherit most and unix
// connections the SO_PASS* only.
type Info struct {
	Level     int    // SOL_* or IPPROTO_*
	Number    int    // as in setsockopt(2)
	Name      string // as in the kernel's headers, "SO_REUSEPORT"
	Unit      string // of its value: "bytes", "s", "flag"...
	Since     string // first Linux that has it, "3.9"; empty: older than 2.6
	Access    Access
	Inherited bool   // a connection has the value that its listener had at the end of the handshake
	Doc       string // one sentence
}

// Access says which of setsockopt and getsockopt an option has.
type Access int

// Kinds of access.
const (
	ReadWrite Access = iota
	ReadOnly
	WriteOnly
)

func (a Access) String() string {
	return [...]string{"read-write", "read-only", "write-only"}[a]
}

// Info describes the option.
func (o Option[T]) Info() Info { return o.info }

func (o Option[T]) String() string { return o.info.Name }

// Set sets the option: setsockopt(2). ENOPROTOOPT: this kind of socket, or this
// kernel, has no such option, or it is read-only; EPERM: it needs a capability;
// EINVAL: it doesn't take that value, or only in another state of the socket.
func (o Option[T]) Set(fd FD, v T) error {
	err := error(unix.ENOPROTOOPT)
	if o.info.Access != ReadOnly {
		err = o.codec.set(fd, o.info.Level, o.info.Number, v)
	}
	return o.fail("setsockopt", err)
}

// Get reads the option: getsockopt(2). Several read back otherwise than they
// were set: the kernel doubles buffer sizes and rounds some times.
func (o Option[T]) Get(fd FD) (v T, err error) {
	err = unix.ENOPROTOOPT
	if o.info.Access != WriteOnly {
		v, err = o.codec.get(fd, o.info.Level, o.info.Number)
	}
	return v, o.fail("getsockopt", err)
}

// fail names the option in the error, since "setsockopt: invalid argument"
// helps nobody. The name stays out of the way of errors.Is.
func (o Option[T]) fail(call string, err error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(call+" "+o.info.Name, err)
}

var catalogue []Info

func define[T any](c codec[T], i Info) Option[T] {
	catalogue = append(catalogue, i)
	return Option[T]{i, c}
}

// Options lists the catalogue, sorted by level and name.
func Options() []Info {
	return slices.SortedFunc(slices.Values(catalogue), func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), strings.Compare(a.Name, b.Name))
	})
}

// Lookup finds an option by what setsockopt(2) is given.
func Lookup(level, number int) (Info, bool) {
	i := slices.IndexFunc(catalogue, func(o Info) bool { return o.Level == level && o.Number == number })
	if i < 0 {
		return Info{}, false
	}
	return catalogue[i], true
}

// LevelName is the header's name of a level, "SOL_SOCKET".
func LevelName(level int) string {
	switch level {
	case unix.SOL_SOCKET:
		return "SOL_SOCKET"
	case unix.SOL_IP:
		return "SOL_IP"
	case unix.SOL_TCP:
		return "SOL_TCP"
	case unix.SOL_IPV6:
		return "SOL_IPV6"
	case unix.SOL_MPTCP:
		return "SOL_MPTCP"
	case unix.AF_VSOCK:
		return "AF_VSOCK"
	}
	return fmt.Sprintf("level %d", level)
}
