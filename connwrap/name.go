package connwrap

import (
	"net"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A name is one of the two addresses of a Conn.
type name struct {
	addr sock.Addr // zero: not known yet
	net  net.Addr  // addr in the types of package net
}

// LocalAddr is the address of this side, of the type that package net would
// return, or a [sock.Addr] for "vsock". The first call may ask the kernel. It is
// the zero sock.Addr, not nil, if it isn't known: neither from Config nor from the
// kernel, because the Conn was closed before anything was done with it.
func (c *Conn) LocalAddr() net.Addr { return orNone(c.source()) }

// RemoteAddr is the address of the peer, in the same way as LocalAddr. The
// kernel doesn't know it any more either once the peer has reset the connection.
func (c *Conn) RemoteAddr() net.Addr { return orNone(c.peer()) }

func orNone(a net.Addr) net.Addr {
	if a == nil {
		return sock.Addr{}
	}
	return a
}

// source is the local address, nil if it isn't known.
func (c *Conn) source() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.netAddr(&c.local, sock.FD.Getsockname)
}

// peer is the remote address, nil if it isn't known.
func (c *Conn) peer() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.netAddr(&c.remote, sock.FD.Getpeername)
}

func (c *Conn) netAddr(n *name, ask func(sock.FD) (sock.Addr, error)) net.Addr {
	if n.net == nil {
		c.learn(n, ask)
		n.net = n.addr.NetAddr(c.typ)
	}
	return n.net
}

func (c *Conn) learnNames() {
	c.learn(&c.local, sock.FD.Getsockname)
	c.learn(&c.remote, sock.FD.Getpeername)
}

func (c *Conn) learn(n *name, ask func(sock.FD) (sock.Addr, error)) {
	if !n.addr.IsValid() && c.fd != sock.None {
		n.addr, _ = ask(c.fd)
	}
}

// identify sets the network and the socket type.
func (c *Conn) identify() (err error) {
	if c.fd < 0 {
		c.fd = sock.None
		return unix.EBADF
	}
	if c.network == "" {
		if c.network, err = askNetwork(c.fd); err != nil {
			return err
		}
	}
	switch c.network {
	case "tcp", "tcp4", "tcp6", "unix", "vsock":
		c.typ = sock.Stream
	case "unixpacket":
		c.typ = sock.SeqPacket
	default:
		return net.UnknownNetworkError(c.network)
	}
	return nil
}

func askNetwork(fd sock.FD) (string, error) {
	family, err := sock.SockDomain.Get(fd)
	if err != nil {
		return "", err
	}
	typ, err := sock.SockType.Get(fd)
	if err != nil {
		return "", err
	}
	switch typ {
	case sock.Stream:
		switch family {
		case sock.Inet, sock.Inet6:
			return "tcp", nil
		case sock.Unix, sock.Vsock:
			return family.String(), nil
		}
	case sock.SeqPacket:
		if family == sock.Unix {
			return "unixpacket", nil
		}
	}
	return family.String() + " " + typ.String(), nil
}
