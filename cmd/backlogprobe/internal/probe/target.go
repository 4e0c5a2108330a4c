package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"onconn/sock"
)

// A Target is the listener to measure.
type Target struct {
	Addr  sock.Addr
	Local bool // an address of this host, as this network namespace has it
}

// ErrForeign is the error of a target that is not an address of this host.
var ErrForeign = errors.New("not an address of this host")

// Resolve reads an address as users write it: "127.0.0.1:80", "[::1]:80",
// "localhost:http", ":80" and "80" for this host, or a unix path with a slash or
// @name. Every address that a name has is checked: unless foreign targets are
// allowed, one that isn't of this host is ErrForeign.
func Resolve(ctx context.Context, text string, allowForeign bool) (Target, error) {
	if strings.HasPrefix(text, "@") {
		return Target{sock.UnixAddr(text), true}, nil
	}
	if strings.Contains(text, "/") {
		path, err := filepath.Abs(text)
		if len(path) > sock.MaxUnixName {
			path = text // perhaps shorter as it was given
		}
		return Target{sock.UnixAddr(path), true}, err
	}
	found, err := resolveTCP(ctx, text)
	if err != nil {
		return Target{}, err
	}
	local := true
	for _, ap := range found {
		ok, err := isLocal(ap.Addr())
		if err != nil {
			return Target{}, err
		}
		if !ok && !allowForeign {
			return Target{}, fmt.Errorf("%s is %w", ap.Addr(), ErrForeign)
		}
		local = local && ok
	}
	return Target{sock.IPAddr(found[0]), local}, nil
}

// resolveTCP returns at least one address. A host that is left out, or a
// wildcard, is this host: 127.0.0.1 unless it is IPv6's.
func resolveTCP(ctx context.Context, text string) ([]netip.AddrPort, error) {
	if !strings.Contains(text, ":") {
		text = ":" + text
	}
	host, service, err := net.SplitHostPort(text)
	if err != nil {
		return nil, fmt.Errorf("address %q: it is HOST:PORT, :PORT, a unix path with a slash, or @NAME", text)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("address %q: port %q is not a number from 1 to 65535 or the name of a service", text, service)
	}
	var addrs []netip.Addr
	if host == "" || host == "*" {
		addrs = []netip.Addr{netip.IPv4Unspecified()}
	} else if ip, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{ip}
	} else if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, fmt.Errorf("address %q: %w", text, err)
	}
	var found []netip.AddrPort
	for _, ip := range addrs {
		ip = ip.Unmap()
		switch ip {
		case netip.IPv4Unspecified():
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		case netip.IPv6Unspecified():
			ip = netip.IPv6Loopback()
		}
		found = append(found, netip.AddrPortFrom(ip, uint16(port)))
	}
	return found, nil
}

// isLocal reports whether an interface of this network namespace has the address.
func isLocal(ip netip.Addr) (bool, error) {
	if ip.IsLoopback() {
		return true, nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, a := range own {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == ip.WithZone("") {
			return true, nil
		}
	}
	return false, nil
}
