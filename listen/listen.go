package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Listen listens with the zero Config. See [Config.Listen].
func Listen(network, address string) (*Listener, error) {
	return Config{}.Listen(context.Background(), network, address)
}

// Listen makes a socket, binds it to the address and listens on it.
//
//   - "tcp", "tcp4", "tcp6": "host:port", as for [net.Listen]; port 0 or none is
//     a free one. Of a name's addresses the first IPv4 one is taken, else the
//     first.
//   - "unix", "unixpacket": a path, "@name" for an abstract name, or nothing for
//     an abstract name that the kernel chooses. A path that another socket left
//     behind is replaced, unless something still listens on it or is bound to it.
//   - "vsock": "cid:port"; the CID may be "any" or left out, and port 0 or none
//     is a free one.
//   - "fd": "3" or "fd:3", a descriptor that this process inherited and that
//     listens already, which the Listener then owns ([Config.Own]); or "fd:NAME"
//     or "NAME" from LISTEN_FDNAMES ([Inherited]).
//
// ctx limits the lookup of names, no more. Errors are those of [net.Listen]:
// [*net.OpError] over [*os.SyscallError]. EADDRINUSE comes with an [*InUseError]
// if the holder can be found.
func (c Config) Listen(ctx context.Context, network, address string) (*Listener, error) {
	var addr net.Addr
	var l *Listener
	err := c.validate()
	if err == nil {
		switch network {
		case "tcp", "tcp4", "tcp6":
			l, addr, err = c.listenTCP(ctx, network, address)
		case "unix", "unixpacket":
			addr = &net.UnixAddr{Name: address, Net: network}
			l, err = c.listenUnix(network, address)
		case "vsock":
			l, addr, err = c.listenVsock(address)
		case "fd":
			addr = fdAddr(address)
			l, err = c.listenFD(address)
		default:
			err = net.UnknownNetworkError(network)
		}
	}
	if err != nil {
		return nil, opError("listen", network, addr, err)
	}
	return l, nil
}

func (c Config) listenTCP(ctx context.Context, network, address string) (*Listener, net.Addr, error) {
	addr, err := resolveTCP(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	if addr.IP == nil {
		l, err := c.listenWildcard(network, uint16(addr.Port))
		return l, addr, err
	}
	l, err := c.listenIP(network, addr.AddrPort())
	return l, addr, err
}

// listenWildcard prefers ::, which takes IPv4 too unless V6Only is on.
func (c Config) listenWildcard(network string, port uint16) (*Listener, error) {
	any4 := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	if network == "tcp4" {
		return c.listenIP(network, any4)
	}
	l, err := c.listenIP(network, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	noIPv6 := errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
	if !noIPv6 || network == "tcp6" || c.V6Only == On {
		return l, err
	}
	why := fmt.Errorf("listening on IPv4 only: %w", err)
	if l, err = c.listenIP(network, any4); err != nil {
		return nil, err
	}
	l.fallback = why
	return l, nil
}

func (c Config) listenIP(network string, ap netip.AddrPort) (*Listener, error) {
	addr := sock.IPAddr(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
	v6only := c.V6Only == On || c.V6Only == Default && network == "tcp6"
	if c.V6Only == On && addr.Family() == sock.Inet {
		return nil, &net.AddrError{Err: "V6Only with an IPv4 address", Addr: ap.String()}
	}
	p := sock.TCP
	if c.MPTCP {
		p = sock.MPTCP
	}
	return c.open(network, addr, sock.Stream, p, func(fd sock.FD) error {
		if addr.Family() == sock.Inet6 {
			if err := sock.V6Only.Set(fd, v6only); err != nil {
				return err
			}
		}
		if err := c.setTCP(fd); err != nil {
			return err
		}
		return c.bind(fd, addr)
	})
}

func (c Config) listenVsock(address string) (*Listener, net.Addr, error) {
	addr, err := parseVsock(address)
	if err != nil {
		return nil, nil, err
	}
	l, err := c.open("vsock", addr, sock.Stream, 0, func(fd sock.FD) error { return c.bind(fd, addr) })
	return l, addr, err
}

// open makes a socket, has it bound, and listens.
func (c Config) open(network string, addr sock.Addr, t sock.Type, p sock.Protocol, bind func(sock.FD) error) (*Listener, error) {
	fd, err := sock.Socket(addr.Family(), t, p)
	if err != nil {
		return nil, err
	}
	var l *Listener
	if err = bind(fd); err == nil {
		err = fd.Listen(c.backlog())
	}
	if err == nil {
		l, err = c.newSocketListener(network, fd, c.backlog())
	}
	if err != nil {
		fd.Close()
		return nil, nameHolder(err, addr)
	}
	return l, nil
}

func (c Config) bind(fd sock.FD, addr sock.Addr) error {
	if c.Control != nil {
		if err := c.Control(fd); err != nil {
			return err
		}
	}
	return fd.Bind(addr)
}
