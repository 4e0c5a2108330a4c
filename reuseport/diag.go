package reuseport

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/sock"
)

// namespace is where the group's sockets are, opened once.
func (g *Group) namespace(fd sock.FD) (*backlog.Namespace, error) {
	g.diagMu.Lock()
	defer g.diagMu.Unlock()
	if g.diag != nil {
		return g.diag, nil
	}
	n, err := openNamespace(fd)
	if err == nil {
		g.diag = n
	}
	return n, err
}

// openNamespace opens the namespace of a socket. That of another one than the
// calling thread's needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
func openNamespace(fd sock.FD) (*backlog.Namespace, error) {
	theirs, err := sock.NetnsCookie.Get(fd)
	if errors.Is(err, unix.ENOPROTOOPT) { // before 5.14
		return backlog.OpenNamespace("")
	}
	if err != nil {
		return nil, err
	}
	probe, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	ours, err := sock.NetnsCookie.Get(probe)
	if err != nil {
		return nil, err
	}
	if ours == theirs {
		return backlog.OpenNamespace("")
	}
	ns, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGSKNS, 0)
	if errno != 0 {
		return nil, fmt.Errorf("the group is in another network namespace: %w", os.NewSyscallError("ioctl SIOCGSKNS", errno))
	}
	defer sock.FD(ns).Close()
	return backlog.OpenNamespace(fmt.Sprintf("/proc/self/fd/%d", ns))
}
