package cluster

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"onconn/cluster/nodeipc"
	"onconn/listen"
	"onconn/sock"
)

// nodeKey is the listener that a Node worker means, and how to open it. One that
// is there already is the same by any of its names: the workers of another kind,
// and Config.Listen, write addresses as Go does.
func (p *Primary) nodeKey(q nodeipc.Query) (key, listen.Config, error) {
	cfg := p.cfg.ListenConfig
	if q.Backlog > 0 {
		cfg.Backlog = q.Backlog
	}
	names, err := nodeNames(q)
	if err != nil {
		return key{}, cfg, err
	}
	if q.Type == nodeipc.IPv6 && q.Flags&nodeipc.V6Only != 0 {
		cfg.V6Only = listen.On
	}
	if q.Type == nodeipc.UDP4 || q.Type == nodeipc.UDP6 {
		cfg.Control = nodeUDPControl(cfg.Control, q.Flags)
	}
	if q.Type == nodeipc.Pipe && (q.ReadableAll || q.WritableAll) {
		cfg.UnixMode = 0o600
		if q.ReadableAll {
			cfg.UnixMode |= 0o444
		}
		if q.WritableAll {
			cfg.UnixMode |= 0o222
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range names {
		k.Index = q.Index
		if p.servers[k] != nil {
			return k, cfg, nil
		}
	}
	k := names[0]
	k.Index = q.Index
	return k, cfg, nil
}

// nodeNames are the ways to write what a query asks for, the best one first.
func nodeNames(q nodeipc.Query) ([]key, error) {
	port := strconv.Itoa(q.Port)
	tcp := func(names ...string) (keys []key) {
		for _, n := range names {
			network, host, _ := strings.Cut(n, " ")
			keys = append(keys, key{Network: network, Address: net.JoinHostPort(host, port)})
		}
		return keys
	}
	switch {
	case q.Type == nodeipc.FDOnly:
		return []key{{Network: "fd", Address: strconv.Itoa(q.FD)}}, nil
	case q.Type == nodeipc.Pipe:
		return []key{{Network: "unix", Address: strings.Replace(q.Address, "\x00", "@", 1)}}, nil
	case q.Type == nodeipc.UDP4 || q.Type == nodeipc.UDP6:
		return nodeUDPNames(q)
	case q.Type != nodeipc.IPv4 && q.Type != nodeipc.IPv6:
		return nil, fmt.Errorf("address of type %s: a primary has no such listeners", q.Type)
	case q.Address == "":
		return tcp("tcp ", "tcp ::", "tcp 0.0.0.0"), nil
	case q.Address == "0.0.0.0":
		return tcp("tcp4 0.0.0.0", "tcp4 ", "tcp ", "tcp 0.0.0.0", "tcp ::"), nil
	case q.Address == "::" && q.Flags&nodeipc.V6Only != 0:
		return tcp("tcp6 ::", "tcp6 "), nil
	case q.Address == "::":
		return tcp("tcp ::", "tcp ", "tcp 0.0.0.0"), nil
	}
	version := "tcp" + string(q.Type)
	keys := tcp("tcp "+q.Address, version+" "+q.Address)
	if ip := net.ParseIP(q.Address); ip.IsLoopback() { // Node resolves names itself
		keys = append(keys, tcp("tcp localhost", version+" localhost")...)
	}
	return keys, nil
}

// nodeUDPNames are the ways to write what bind of dgram asks for.
func nodeUDPNames(q nodeipc.Query) (keys []key, err error) {
	if q.FD >= 0 {
		return nil, errors.New("a descriptor of the primary's can't be shared for datagrams")
	}
	var names []string
	switch {
	case q.Address == "0.0.0.0", q.Address == "" && q.Type == nodeipc.UDP4:
		names = []string{"udp4 0.0.0.0", "udp4 "}
	case q.Address != "" && q.Address != "::":
		names = []string{string(q.Type) + " " + q.Address, "udp " + q.Address}
	case q.Flags&nodeipc.V6Only != 0:
		names = []string{"udp6 ::", "udp6 "}
	default:
		names = []string{"udp ::", "udp "}
	}
	for _, n := range names {
		network, host, _ := strings.Cut(n, " ")
		keys = append(keys, key{Network: network, Address: net.JoinHostPort(host, strconv.Itoa(q.Port))})
	}
	return keys, nil
}

// nodeUDPControl does what the flags of a bind say before that, after what the
// program's own Control does.
func nodeUDPControl(control func(sock.FD) error, flags int) func(sock.FD) error {
	return func(fd sock.FD) error {
		if control != nil {
			if err := control(fd); err != nil {
				return err
			}
		}
		if flags&nodeipc.UDPReuseAddr != 0 {
			return sock.ReuseAddr.Set(fd, true)
		}
		return nil
	}
}

// sockName is an address as net.Server.address gives it; nil for a path.
func sockName(at *remoteAddr) *nodeipc.SockName {
	a, ok := at.netAddr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	family := "IPv6"
	if a.IP.To4() != nil {
		family = "IPv4"
	}
	return &nodeipc.SockName{Address: a.IP.String(), Family: family, Port: a.Port}
}
