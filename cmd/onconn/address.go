package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"onconn/cluster"
	"onconn/sock"
)

// parseAddress reads an address of --listen: what stands before "://" is the
// network, else it is told by the form.
func parseAddress(s string) (cluster.Address, error) {
	network, rest, ok := strings.Cut(s, "://")
	switch {
	case ok:
	case strings.HasPrefix(s, "fd:"):
		network, rest = "fd", strings.TrimPrefix(s, "fd:")
	case strings.HasPrefix(s, "@"), strings.Contains(s, "/"):
		network, rest = "unix", s
	default:
		network, rest = "tcp", s
	}
	if err := checkAddress(network, rest); err != nil {
		return cluster.Address{}, fmt.Errorf("address %q: %w", s, err)
	}
	return cluster.Address{Network: network, Address: rest}, nil
}

// checkAddress finds what can be wrong without opening anything.
func checkAddress(network, address string) error {
	switch network {
	case "tcp", "tcp4", "tcp6":
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("%w: it is host:port, :port, a unix path with a slash, @name or fd:3", unwrapAddr(err))
		}
		if ip := net.ParseIP(host); network == "tcp4" && ip != nil && ip.To4() == nil {
			return fmt.Errorf("%s is no IPv4 address", host)
		} else if network == "tcp6" && ip != nil && ip.To4() != nil {
			return fmt.Errorf("%s is no IPv6 address", host)
		}
		return checkPort(port)
	case "unix", "unixpacket":
		if address == "" || address == "@" {
			return fmt.Errorf("a unix socket needs a path or @name")
		}
		if n := len(strings.TrimPrefix(address, "@")); n > sock.MaxUnixName {
			return fmt.Errorf("a unix path or name has at most %d bytes, this one %d", sock.MaxUnixName, n)
		}
		return nil
	case "fd":
		if n, err := strconv.Atoi(address); err == nil && n < 0 || address == "" {
			return fmt.Errorf("it is fd:3 or fd:NAME of LISTEN_FDNAMES")
		}
		return nil
	}
	return fmt.Errorf("unknown network %q: it is tcp, tcp4, tcp6, unix or fd", network)
}

func checkPort(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
			return fmt.Errorf("unknown port %q: it is a number from 0 to 65535 or the name of a service", port)
		}
		return nil
	}
	if n < 0 || n > 65535 {
		return fmt.Errorf("port %d is out of range: it is 0 to 65535", n)
	}
	return nil
}

// unwrapAddr drops the address from the error, where the caller names it.
func unwrapAddr(err error) error {
	if e, ok := err.(*net.AddrError); ok {
		return fmt.Errorf("%s", e.Err)
	}
	return err
}
