package lesson

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
)

// A kernel is asked what it knows of the sockets here. It needs no privilege.
type kernel struct{ *backlog.Namespace }

func openKernel() (kernel, error) {
	n, err := backlog.OpenNamespace("")
	if err != nil {
		return kernel{}, fmt.Errorf("ask the kernel for its queues: %w", err)
	}
	return kernel{n}, nil
}

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

// queue reads the accept queue of the one listener of a port.
func (k kernel) queue(port int) (backlog.Listener, error) {
	l, err := k.Lookup(loopback(port), 0)
	if err != nil {
		return l, fmt.Errorf("the queue of port %d: %w", port, err)
	}
	return l, nil
}

// listeners are all that listen on a port, by their queues.
func (k kernel) listeners(port int) (found []backlog.Listener, err error) {
	all, err := k.Listeners()
	for _, l := range all {
		if int(l.Addr.Port()) == port {
			found = append(found, l)
		}
	}
	return found, err
}

// until polls a condition, for three seconds at most, and reports whether it came true.
func until(condition func() bool) bool { return within(3*time.Second, condition) }

func within(long time.Duration, condition func() bool) bool {
	for end := time.Now().Add(long); ; time.Sleep(2 * time.Millisecond) {
		if condition() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// tcpInfo is what the kernel knows of a connection of ours.
func tcpInfo(fd int) (*unix.TCPInfo, error) {
	return unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
}
