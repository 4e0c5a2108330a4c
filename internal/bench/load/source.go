package load

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A source gives each connection the next address of 127/8, so that the ports of
// one address, of which many are in TIME_WAIT, never run out.
type source struct{ next uint32 }

func newSource() source {
	// Not those of the run before: it ended a moment ago.
	return source{uint32(os.Getpid()) * 7919}
}

func (s *source) bind(fd sock.FD) error {
	s.next++
	n := s.next%(1<<24-3) + 2 // 127.0.0.2 to 127.255.255.254
	ip := netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)})
	// The port is chosen by connect, which knows of the other side.
	if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return fd.Bind(sock.IPAddr(netip.AddrPortFrom(ip, 0)))
}
