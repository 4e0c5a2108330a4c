package follow

import (
	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/decode"
	"onconn/cmd/syscallflow/internal/tracer"
)

// Filters are the calls that a Recorder wants to hear of.
func (c Config) Filters() []tracer.Filter {
	var all []tracer.Filter
	for number, call := range decode.Calls {
		switch {
		case number == unix.SYS_FCNTL:
			all = append(all, tracer.Filter{Number: number, Arg: 1, Values: duplicates})
		case c.Waits || !waits[call.Name]:
			all = append(all, tracer.Filter{Number: number})
		}
	}
	return all
}

// duplicates are the operations of fcntl that make a descriptor. Most of the others set
// flags.
var duplicates = []uint32{unix.F_DUPFD, unix.F_DUPFD_CLOEXEC}

// waits are the calls in which programs wait for several descriptors.
var waits = set("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll")

// anyFile are the calls that a program makes on files of all kinds; only those on
// sockets matter.
var anyFile = set("read", "write", "readv", "writev", "sendfile", "close", "dup", "dup2", "dup3", "fcntl")

// never are calls that return at once, whatever happens.
var never = set("socket", "bind", "listen", "setsockopt", "getsockopt", "getsockname", "getpeername", "epoll_ctl")

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}
