package cluster

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"onconn/backlog"
	"onconn/listen"
	"onconn/sock"
)

// remoteAddr is a listener's address on the channel.
type remoteAddr struct {
	Network string `json:"network"`
	Address string `json:"address"`
	CID     uint32 `json:"cid,omitempty"`  // vsock
	Port    uint32 `json:"port,omitempty"` // vsock
}

func remoteAddrOf(a net.Addr) *remoteAddr {
	r := &remoteAddr{Network: a.Network(), Address: a.String()}
	if v, ok := a.(sock.Addr); ok {
		r.CID, r.Port = v.CID(), v.Port()
	}
	return r
}

// netAddr is the address as the primary's listener has it.
func (r *remoteAddr) netAddr() net.Addr {
	switch r.Network {
	case "tcp":
		ap, err := netip.ParseAddrPort(r.Address)
		if err != nil {
			return nil
		}
		return net.TCPAddrFromAddrPort(ap)
	case "udp":
		ap, err := netip.ParseAddrPort(r.Address)
		if err != nil {
			return nil
		}
		return net.UDPAddrFromAddrPort(ap)
	case "vsock":
		return sock.VsockAddr(r.CID, r.Port)
	}
	return &net.UnixAddr{Net: r.Network, Name: r.Address}
}

// remoteError is why the primary could not listen, so that the worker can
// return what a Listen of its own would have.
type remoteError struct {
	Text    string                  `json:"text"`
	Address *net.AddrError          `json:"address,omitempty"`
	Network net.UnknownNetworkError `json:"network,omitempty"`
	DNS     *net.DNSError           `json:"dns,omitempty"`
	Syscall string                  `json:"syscall,omitempty"`
	Errno   syscall.Errno           `json:"errno,omitempty"`
	Holders []backlog.Owner         `json:"holders,omitempty"`
}

func remoteErrorOf(err error) *remoteError {
	r := &remoteError{Text: err.Error()}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		r.Text = op.Err.Error()
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		r.Syscall = call.Syscall
		r.Errno, _ = errors.AsType[syscall.Errno](call)
	}
	r.Address, _ = errors.AsType[*net.AddrError](err)
	r.Network, _ = errors.AsType[net.UnknownNetworkError](err)
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		sent := *dns
		sent.UnwrapErr = nil // an interface: JSON would not bring it back
		r.DNS = &sent
	}
	if used, ok := errors.AsType[*listen.InUseError](err); ok {
		r.Holders = used.Holders
	}
	return r
}

// opError is the error of listening on k.
func (r *remoteError) opError(k key) error {
	e := &net.OpError{Op: "listen", Net: k.Network, Addr: askedAddr(k)}
	switch {
	case r.Errno != 0 && len(r.Holders) > 0:
		e.Err = os.NewSyscallError(r.Syscall, &listen.InUseError{Holders: r.Holders})
	case r.Errno != 0:
		e.Err = os.NewSyscallError(r.Syscall, r.Errno)
	case r.Address != nil:
		e.Err = r.Address
	case r.Network != "":
		e.Err = r.Network
	case r.DNS != nil:
		e.Err = r.DNS
	default:
		e.Err = errors.New(r.Text)
	}
	return e
}

// askedAddr is what k asks for, so far as it can be told without a resolver.
func askedAddr(k key) net.Addr {
	switch k.Network {
	case "unix", "unixpacket":
		return &net.UnixAddr{Net: k.Network, Name: k.Address}
	case "tcp", "tcp4", "tcp6":
		if ap, err := netip.ParseAddrPort(k.Address); err == nil {
			return net.TCPAddrFromAddrPort(ap)
		}
	case "udp", "udp4", "udp6":
		if ap, err := netip.ParseAddrPort(k.Address); err == nil {
			return net.UDPAddrFromAddrPort(ap)
		}
	}
	return nil
}
