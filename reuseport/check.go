package reuseport

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

var errMPTCP = fmt.Errorf("an MPTCP socket takes no reuseport program (Linux 6.18), make it plain TCP (net.ListenConfig.SetMultipathTCP(false)): %w", unix.EOPNOTSUPP)

// check refuses a socket that can't be in the group; mu is held.
func (g *Group) check(fd sock.FD) error {
	p, err := sock.SockProtocol.Get(fd)
	if err != nil {
		return err
	}
	if p == sock.MPTCP {
		return errMPTCP
	}
	if p != sock.TCP {
		return fmt.Errorf("a socket of protocol %v, not tcp: %w", p, unix.EPROTONOSUPPORT)
	}
	shared, err := sock.ReusePort.Get(fd)
	if err != nil {
		return err
	}
	if !shared {
		return fmt.Errorf("SO_REUSEPORT is not set on the socket, so it is in no group: %w", unix.EINVAL)
	}
	if len(g.order) == 0 {
		return nil
	}
	first := g.order[0].Descriptor()
	if err := sameNamespace(fd, first); err != nil {
		return err
	}
	if err := sameUser(fd, first); err != nil {
		return err
	}
	return g.sameAddress(fd, first)
}

func (g *Group) sameAddress(fd, first sock.FD) error {
	local, err := fd.Getsockname()
	if err != nil {
		return err
	}
	if local != g.local {
		return fmt.Errorf("the socket is bound to %v, the group to %v: %w", local, g.local, unix.EINVAL)
	}
	if local.Family() != sock.Inet6 {
		return nil
	}
	// inet_reuseport_add_sock compares sk_ipv6only.
	a, errA := sock.V6Only.Get(fd)
	b, errB := sock.V6Only.Get(first)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("IPV6_V6ONLY is %t on the socket and %t in the group: %w", a, b, unix.EINVAL)
	}
	return nil
}

func sameNamespace(fd, first sock.FD) error {
	a, err := sock.NetnsCookie.Get(fd)
	if errors.Is(err, unix.ENOPROTOOPT) { // before 5.14
		return nil
	}
	b, errB := sock.NetnsCookie.Get(first)
	if err := errors.Join(err, errB); err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("the socket is of another network namespace: %w", unix.EXDEV)
	}
	return nil
}

// sameUser compares who made the sockets, which the kernel wants to be one user,
// root or not (sk_reuseport_match).
func sameUser(fd, first sock.FD) error {
	a, errA := owner(fd)
	b, errB := owner(first)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("uid %d made the socket and uid %d the group; one user must make them all: %w", a, b, unix.EPERM)
	}
	return nil
}

func owner(fd sock.FD) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return st.Uid, nil
}

// explain adds to EADDRINUSE why the holder doesn't share, as far as it is seen.
func (g *Group) explain(err error) error {
	var inUse *listen.InUseError
	if !errors.As(err, &inUse) {
		return err
	}
	me := os.Geteuid()
	for _, h := range inUse.Holders {
		if h.UID != me {
			return fmt.Errorf("%w: uid %d made that socket and we are uid %d; the kernel lets one user share a port, root included", err, h.UID, me)
		}
	}
	return fmt.Errorf("%w: that socket lacks SO_REUSEPORT, or is an MPTCP one", err)
}
