package listen

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// An InheritedFD is a descriptor that the service manager passed.
type InheritedFD struct {
	FD   sock.FD
	Name string // from LISTEN_FDNAMES, "unknown" without it
}

// firstInherited is SD_LISTEN_FDS_START.
const firstInherited sock.FD = 3

// inherited are the descriptors of LISTEN_FDS.
var inherited struct {
	sync.Mutex
	read  bool
	err   error
	fds   []InheritedFD
	taken []bool
}

// Inherited returns the descriptors that the process was started with under the
// protocol of sd_listen_fds(3): LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES. They are
// close-on-exec, and belong to the caller: each is given out once, here or by
// the network "fd". Hand those that are listening sockets to [Config.Own].
//
// Variables meant for another process give none. All of them are removed from
// the environment, so that children don't take them for theirs.
func Inherited() ([]InheritedFD, error) {
	return InheritedNames(func(string) bool { return true })
}

// InheritedNames is [Inherited] for the descriptors whose name is asked for; the
// others are left for who comes later.
func InheritedNames(asked func(name string) bool) ([]InheritedFD, error) {
	inherited.Lock()
	defer inherited.Unlock()
	if err := readInherited(); err != nil {
		return nil, err
	}
	var free []InheritedFD
	for i, f := range inherited.fds {
		if !inherited.taken[i] && asked(f.Name) {
			inherited.taken[i] = true
			free = append(free, f)
		}
	}
	return free, nil
}

// listenFD is Listen of the network "fd".
func (c Config) listenFD(address string) (*Listener, error) {
	inherited.Lock()
	defer inherited.Unlock()
	if err := readInherited(); err != nil {
		return nil, err
	}
	i, fd, err := findInherited(strings.TrimPrefix(address, "fd:"))
	if err != nil {
		return nil, err
	}
	l, err := c.adopt(fd)
	if err == nil && i >= 0 {
		inherited.taken[i] = true
	}
	return l, err
}

// findInherited finds a descriptor by its number or by the name of one that
// nobody has taken. A number may also be one that LISTEN_FDS says nothing of,
// with the index -1.
func findInherited(name string) (i int, fd sock.FD, err error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		fd := sock.FD(n)
		i := slices.IndexFunc(inherited.fds, func(f InheritedFD) bool { return f.FD == fd })
		if i >= 0 && inherited.taken[i] {
			return -1, sock.None, fmt.Errorf("fd %d has been given out already", fd)
		}
		return i, fd, nil
	}
	for i, f := range inherited.fds {
		if f.Name == name && !inherited.taken[i] {
			return i, f.FD, nil
		}
	}
	return -1, sock.None, fmt.Errorf("LISTEN_FDNAMES has no %q left", name)
}

// readInherited reads the environment, once; inherited is locked.
func readInherited() error {
	if inherited.read {
		return inherited.err
	}
	inherited.read = true
	inherited.fds, inherited.err = parseInherited(os.Getenv)
	inherited.taken = make([]bool, len(inherited.fds))
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	for _, f := range inherited.fds {
		unix.CloseOnExec(int(f.FD))
	}
	return inherited.err
}

func parseInherited(getenv func(string) string) ([]InheritedFD, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || getenv("LISTEN_FDS") == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, not a number of descriptors", getenv("LISTEN_FDS"))
	}
	var names []string
	if list := getenv("LISTEN_FDNAMES"); list != "" {
		if names = strings.Split(list, ":"); len(names) != n {
			return nil, fmt.Errorf("LISTEN_FDNAMES has %d names for %d descriptors", len(names), n)
		}
	}
	var fds []InheritedFD
	for i := range n {
		f := InheritedFD{firstInherited + sock.FD(i), "unknown"}
		if names != nil {
			f.Name = names[i]
		}
		if _, err := unix.FcntlInt(uintptr(f.FD), unix.F_GETFD, 0); err != nil {
			return nil, fmt.Errorf("LISTEN_FDS is %d, but fd %d: %w", n, f.FD, os.NewSyscallError("fcntl", err))
		}
		fds = append(fds, f)
	}
	return fds, nil
}
