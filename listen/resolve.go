package listen

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// resolveTCP turns "host:port" into an address as package net does, preferring
// the first IPv4 address of a name. Its IP is nil if the host is empty. No
// socket is made, unless a name has to be asked for.
func resolveTCP(ctx context.Context, network, address string) (*net.TCPAddr, error) {
	if address == "" {
		return &net.TCPAddr{}, nil
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return &net.TCPAddr{Port: port}, nil
	}
	ip, err := resolveHost(ctx, network, host)
	if err != nil {
		return nil, err
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))), nil
}

func resolveHost(ctx context.Context, network, host string) (netip.Addr, error) {
	fits := func(ip netip.Addr) bool {
		return network == "tcp" || ip.Is4() == (network == "tcp4")
	}
	noSuitable := &net.AddrError{Err: "no suitable address found", Addr: host}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); !fits(ip) {
			return ip, noSuitable
		}
		return ip, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+strings.TrimPrefix(network, "tcp"), host)
	if err != nil {
		return netip.Addr{}, err
	}
	var best netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		if fits(ip) && (!best.IsValid() || ip.Is4() && !best.Is4()) {
			best = ip
		}
	}
	if !best.IsValid() {
		return best, noSuitable
	}
	return best, nil
}

// parseVsock reads "cid:port", where "any" or nothing for the CID is every one
// of this machine, and 0 or nothing for the port is a free one.
func parseVsock(address string) (sock.Addr, error) {
	bad := func(why string) (sock.Addr, error) {
		return sock.Addr{}, &net.AddrError{Err: why, Addr: address}
	}
	cidText, portText, found := strings.Cut(address, ":")
	if !found {
		return bad("missing port in address")
	}
	cid := uint64(unix.VMADDR_CID_ANY)
	if cidText != "" && cidText != "any" {
		var err error
		if cid, err = strconv.ParseUint(cidText, 10, 32); err != nil {
			return bad(`CID is neither a number nor "any"`)
		}
	}
	port := uint64(0)
	if portText != "" {
		var err error
		if port, err = strconv.ParseUint(portText, 10, 32); err != nil {
			return bad("invalid port")
		}
	}
	if port == 0 {
		port = unix.VMADDR_PORT_ANY
	}
	return sock.VsockAddr(uint32(cid), uint32(port)), nil
}
