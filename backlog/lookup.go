package backlog

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Lookup reads one TCP listener, in a few µs whatever their number. Without a
// cookie (0) it finds one member of a SO_REUSEPORT group, always the same. By
// their cookies it finds the other members too, in some ten µs, as it does
// listeners that are bound to an interface. ENOENT: nobody listens there, or not
// with that cookie.
func (n *Namespace) Lookup(addr netip.AddrPort, cookie uint64) (Listener, error) {
	addr = unmapped(addr)
	s, err := n.lookup(addr, cookie)
	if errors.Is(err, unix.ENOENT) {
		s, err = n.search(addr, cookie)
	}
	if err != nil {
		return Listener{}, err
	}
	one := [...]Listener{s.listener()}
	err = n.markMPTCP(one[:])
	return one[0], err
}

// lookup asks for one socket: inet_lookup_listener of the kernel, which chooses
// a member of a group before it compares cookies, and passes over those that
// are bound to an interface.
func (n *Namespace) lookup(addr netip.AddrPort, cookie uint64) (s inetSocket, err error) {
	r := inetRequest{family: unix.AF_INET, states: 1 << tcpListen, attributes: withMeminfo, local: addr, cookie: cookie}
	if addr.Addr().Is6() {
		r.family = unix.AF_INET6
	}
	if cookie == 0 {
		r.cookie = noCookie
	}
	request := r.bytes()
	err = n.quick.lookup(request[:], func(body []byte) (err error) {
		s, err = parseInet(body)
		return err
	})
	if err == nil && s.state != tcpListen {
		err = errNoListener
	}
	return s, err
}

var errNoListener = os.NewSyscallError("sock_diag", unix.ENOENT)

// search goes through the listeners of the port.
func (n *Namespace) search(addr netip.AddrPort, cookie uint64) (inetSocket, error) {
	r := inetRequest{states: 1 << tcpListen, attributes: withMeminfo, local: addr}
	found, err := inetDump(n.quick, r, func(s inetSocket) (inetSocket, bool) {
		if cookie != 0 {
			return s, s.cookie == cookie
		}
		have := unmapped(s.local)
		return s, have.Port() == addr.Port() && have.Addr().WithZone("") == addr.Addr().WithZone("")
	})
	if err == nil && len(found) == 0 {
		err = errNoListener
	}
	if err != nil {
		return inetSocket{}, err
	}
	return found[0], nil
}

// unmapped has IPv4 in IPv6 as plain IPv4.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
