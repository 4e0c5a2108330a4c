package survey

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"onconn/backlog"
	"onconn/sock"
)

// A Filter selects listeners. The zero Filter selects all.
type Filter struct {
	text      string
	unix      bool // it names a unix socket
	listeners []func(backlog.Listener) bool
	owners    []func(backlog.Owner) bool
}

// ParseFilter reads a filter: ":443", "443", "127.0.0.1:80", "[::1]:80", "/run/x.sock",
// "@name", "pid=12", "comm=node" or just "node",
// "unit=nginx.service", or of ss: "sport = :443", "src 127.0.0.1". Several words must all hold. An address with its port selects
// the wildcard listener of that port too, as that takes its connections; after
// src it doesn't.
func ParseFilter(words []string) (Filter, error) {
	f := Filter{text: strings.Join(words, " ")}
	tokens := strings.Fields(f.text)
	for len(tokens) > 0 {
		n, err := f.term(tokens)
		if err != nil {
			return Filter{}, err
		}
		tokens = tokens[n:]
	}
	return f, nil
}

// String is the filter as it was written.
func (f Filter) String() string { return f.text }

// ByOwner reports whether it asks who holds a listener, which may be hidden.
func (f Filter) ByOwner() bool { return len(f.owners) > 0 }

// Match reports whether a listener, with its owners, is selected.
func (f Filter) Match(l backlog.Listener, owners []backlog.Owner) bool {
	if !f.matchListener(l) {
		return false
	}
	return len(f.owners) == 0 || slices.ContainsFunc(owners, func(o backlog.Owner) bool {
		return !slices.ContainsFunc(f.owners, func(holds func(backlog.Owner) bool) bool { return !holds(o) })
	})
}

// matchListener leaves the owners out.
func (f Filter) matchListener(l backlog.Listener) bool {
	return !slices.ContainsFunc(f.listeners, func(holds func(backlog.Listener) bool) bool { return !holds(l) })
}

const filterForms = "a filter is :PORT, ADDRESS:PORT, a unix path, @name, NAME of a process, pid=N, comm=NAME, unit=NAME, or of ss: sport = :PORT, src ADDRESS"

// term reads one term, and returns how many tokens it was.
func (f *Filter) term(tokens []string) (int, error) {
	switch word := tokens[0]; word {
	case "and", "&&":
		return 1, nil
	case "or", "||", "not", "!", "(", ")", "dport", "dst":
		return 0, fmt.Errorf("filter: %q isn't understood: %s; several must all hold", word, filterForms)
	case "sport":
		if len(tokens) < 3 || !slices.Contains([]string{"=", "==", "eq"}, tokens[1]) {
			return 0, fmt.Errorf("filter: sport needs a port, as in: sport = :443")
		}
		port, err := parsePort(strings.TrimPrefix(tokens[2], ":"))
		f.port(port)
		return 3, err
	case "src":
		if len(tokens) < 2 {
			return 0, fmt.Errorf("filter: src needs an address, as in: src 127.0.0.1")
		}
		n := 2
		if slices.Contains([]string{"=", "==", "eq"}, tokens[1]) && len(tokens) > 2 {
			n = 3
		}
		return n, f.source(tokens[n-1])
	default:
		return 1, f.word(word)
	}
}

func (f *Filter) word(word string) error {
	name, value, assigned := strings.Cut(word, "=")
	switch {
	case strings.HasPrefix(word, "/"), strings.HasPrefix(word, "@"), strings.HasPrefix(word, "./"):
		f.path(word)
	case assigned:
		return f.owner(name, value)
	case isName(word):
		return f.owner("comm", word)
	case strings.HasPrefix(word, ":"), !strings.ContainsAny(word, ".:"):
		port, err := parsePort(strings.TrimPrefix(word, ":"))
		if err != nil {
			return err
		}
		f.port(port)
	default:
		return f.address(word)
	}
	return nil
}

// isName reports whether a word can only be the name of a process.
func isName(word string) bool {
	_, err := netip.ParseAddr(word)
	return err != nil && !strings.Contains(word, ":") && strings.ContainsFunc(word, unicode.IsLetter)
}

func (f *Filter) owner(name, value string) error {
	switch {
	case value == "":
	case name == "pid":
		pid, err := strconv.Atoi(value)
		if err != nil || pid <= 0 {
			return fmt.Errorf("filter: pid=%s: it is the number of a process", value)
		}
		f.owners = append(f.owners, func(o backlog.Owner) bool { return o.PID == pid })
		return nil
	case name == "comm":
		f.owners = append(f.owners, func(o backlog.Owner) bool { return o.Command == value })
		return nil
	case name == "unit":
		f.owners = append(f.owners, func(o backlog.Owner) bool {
			return o.Unit == value || o.Unit == value+".service"
		})
		return nil
	}
	return fmt.Errorf("filter: %q isn't understood: %s", name+"="+value, filterForms)
}

func (f *Filter) listener(holds func(backlog.Listener) bool) {
	f.listeners = append(f.listeners, holds)
}

func (f *Filter) path(name string) {
	f.unix = true
	a := sock.UnixAddr(name)
	f.listener(func(l backlog.Listener) bool { return l.Addr == a })
}

func (f *Filter) port(port uint16) {
	f.listener(func(l backlog.Listener) bool { return internet(l) && l.Addr.Port() == uint32(port) })
}

// address is one with a port.
func (f *Filter) address(word string) error {
	host, service, err := net.SplitHostPort(word)
	if err != nil {
		return fmt.Errorf("filter: %q isn't understood: %s", word, filterForms)
	}
	port, err := parsePort(service)
	if err != nil {
		return err
	}
	f.port(port)
	if host == "*" {
		f.listener(func(l backlog.Listener) bool { return l.Addr.AddrPort().Addr().IsUnspecified() })
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("filter: %q is no address: write it in numbers, or :%d for any", host, port)
	}
	ip = ip.Unmap()
	f.listener(func(l backlog.Listener) bool {
		at := l.Addr.AddrPort().Addr()
		dual := at == netip.IPv6Unspecified() && !l.V6Only
		return at == ip || at.IsUnspecified() && (dual || at.Is4() == ip.Is4())
	})
	return nil
}

// source is what follows src: an address, a prefix, or either with a port.
func (f *Filter) source(word string) error {
	if strings.HasPrefix(word, ":") {
		return f.word(word)
	}
	if host, service, err := net.SplitHostPort(word); err == nil {
		port, err := parsePort(service)
		if err != nil {
			return err
		}
		f.port(port)
		word = host
	}
	word = strings.Trim(word, "[]")
	prefix, err := netip.ParsePrefix(word)
	if err != nil {
		ip, err := netip.ParseAddr(word)
		if err != nil {
			return fmt.Errorf("filter: src %s: it is an address or a prefix, such as 127.0.0.1, [::1]:80 or 10.0.0.0/8", word)
		}
		prefix = netip.PrefixFrom(ip, ip.BitLen())
	}
	f.listener(func(l backlog.Listener) bool { return prefix.Contains(l.Addr.AddrPort().Addr().WithZone("")) })
	return nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err == nil {
		return uint16(n), nil
	}
	if named, err := net.LookupPort("tcp", s); err == nil && s != "" {
		return uint16(named), nil
	}
	return 0, fmt.Errorf("filter: %q is no port: it is a number from 0 to 65535; %s", s, filterForms)
}

func internet(l backlog.Listener) bool {
	return l.Addr.Family() == sock.Inet || l.Addr.Family() == sock.Inet6
}
