package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"onconn/cluster/nodeipc"
	"onconn/listen"
	"onconn/sock"
)

// ask asks a Node primary for a listener.
func (p *nodePrimary) ask(m message) error {
	q, err := nodeQuery(*m.Key, m.Config)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &nodeServer{key: *m.Key, seq: m.Seq, query: q}
	for p.takenLocked(s.query) { // a Node before 22 dies if it is asked again for what is open
		s.query.Index++
	}
	p.servers[s] = true
	seq, err := p.QueryServer(s.query)
	if err != nil {
		delete(p.servers, s)
		return err
	}
	p.asked[seq] = s
	return nil
}

func (p *nodePrimary) takenLocked(q nodeipc.Query) bool {
	for s := range p.servers {
		o := s.query
		if o.Address == q.Address && o.Port == q.Port && o.Type == q.Type && o.FD == q.FD && o.Index == q.Index {
			return true
		}
	}
	return false
}

// nodeQuery is a key as a Node program would have asked for it.
func nodeQuery(k key, cfg *listen.Config) (nodeipc.Query, error) {
	q := nodeipc.Query{FD: -1, Backlog: cfg.Backlog, Data: nodeData()}
	if q.Backlog < 0 {
		q.Backlog = 1<<31 - 1
	}
	switch k.Network {
	case "tcp", "tcp4", "tcp6":
		return q, nodeTCP(&q, k, cfg)
	case "unix":
		q.Type, q.Port, q.Address = nodeipc.Pipe, -1, k.Address
		if name, ok := strings.CutPrefix(k.Address, "@"); ok {
			q.Address = "\x00" + name
			return q, nil
		}
		var err error
		q.Address, err = filepath.Abs(k.Address) // the primary may be elsewhere
		return q, err
	case "udp", "udp4", "udp6":
		q.Backlog, q.Data = 0, nil
		err := nodeUDP(&q, k, cfg)
		return q, err
	case "fd":
		n, err := strconv.Atoi(k.Address)
		if err != nil {
			return q, fmt.Errorf("descriptor %q: a Node primary's are numbers", k.Address)
		}
		q.FD = n
		return q, nil
	}
	return q, fmt.Errorf("a Node primary has no listener on network %s: use ListenConfig.Exclusive", k.Network)
}

// nodeTCP completes a query for tcp. Names are resolved here.
func nodeTCP(q *nodeipc.Query, k key, cfg *listen.Config) error {
	host, service, err := net.SplitHostPort(k.Address)
	if err != nil {
		return err
	}
	if q.Port, err = net.DefaultResolver.LookupPort(context.Background(), k.Network, service); err != nil {
		return err
	}
	ip := netip.IPv6Unspecified()
	if host != "" {
		addr, err := net.ResolveTCPAddr(k.Network, net.JoinHostPort(host, "0"))
		if err != nil {
			return err
		}
		ip = addr.AddrPort().Addr().Unmap()
	}
	switch {
	case ip.IsUnspecified() && k.Network == "tcp" && cfg.V6Only != listen.On:
		q.Type = nodeipc.IPv4 // with no address: any of either kind
	case k.Network == "tcp4" && ip.IsUnspecified():
		q.Type, q.Address = nodeipc.IPv4, "0.0.0.0"
	case ip.Is4():
		q.Type, q.Address = nodeipc.IPv4, ip.String()
	default:
		q.Type, q.Address = nodeipc.IPv6, ip.String()
		if cfg.V6Only == listen.On || k.Network == "tcp6" && cfg.V6Only != listen.Off {
			q.Flags = nodeipc.V6Only
		}
	}
	return nil
}

// nodeUDP completes a query for udp.
func nodeUDP(q *nodeipc.Query, k key, cfg *listen.Config) error {
	addr, err := net.ResolveUDPAddr(k.Network, k.Address)
	if err != nil {
		return err
	}
	ip := addr.AddrPort().Addr().Unmap()
	if !ip.IsValid() {
		ip = netip.IPv6Unspecified()
		if k.Network == "udp4" {
			ip = netip.IPv4Unspecified()
		}
	}
	q.Port, q.Address, q.Type = addr.Port, ip.String(), nodeipc.UDP4
	if ip.Is6() {
		q.Type = nodeipc.UDP6
		if cfg.V6Only == listen.On || k.Network == "udp6" && cfg.V6Only != listen.Off {
			q.Flags = nodeipc.V6Only
		}
	}
	return nil
}

// replied is what a reply says to the listen that asked, if it is one to that. The
// server listens then, if it can.
func (p *nodePrimary) replied(m nodeipc.Message) (message, []sock.FD) {
	p.mu.Lock()
	s := p.asked[m.Ack]
	delete(p.asked, m.Ack)
	p.mu.Unlock()
	if s == nil {
		p.decline(m)
		return message{}, nil
	}
	answer, fds, err := p.opened(s, m)
	if err != nil {
		p.mu.Lock()
		delete(p.servers, s)
		p.mu.Unlock()
		return message{Op: opReply, Seq: s.seq, Error: remoteErrorOf(err)}, nil
	}
	answer.Op, answer.Seq = opReply, s.seq
	return answer, fds
}

func (p *nodePrimary) opened(s *nodeServer, m nodeipc.Message) (answer message, fds []sock.FD, err error) {
	defer func() {
		if err != nil && m.FD != sock.None {
			m.FD.Close()
		}
	}()
	if m.Enveloped {
		p.Acknowledge(m.FD != sock.None)
	}
	switch {
	case m.Errno != 0:
		return message{}, nil, os.NewSyscallError("bind", syscall.Errno(-m.Errno))
	case m.Enveloped && m.FD == sock.None:
		return message{}, nil, os.NewSyscallError("recvmsg", unix.EMFILE)
	case isPacket(s.key.Network) && m.FD == sock.None:
		return message{}, nil, errReply
	}
	at := nodeAddr(s, m.SockName)
	if m.FD != sock.None {
		if at, err = nodeListen(m.FD, s.query); err != nil {
			p.CloseServer(m.Key)
			return message{}, nil, err
		}
		answer.Mode, fds = Shared, []sock.FD{m.FD}
	} else {
		answer.Mode = RoundRobin
		if s.letters, err = newLetters(func(seq uint64, yes bool) { p.AnswerConn(seq, yes) }); err != nil {
			p.CloseServer(m.Key)
			return message{}, nil, err
		}
		answer.source = s.letters
	}
	if err := p.enter(s, m.Key); err != nil {
		p.CloseServer(m.Key)
		if s.letters != nil {
			s.letters.box.Close()
			s.letters.end()
		}
		return message{}, nil, err
	}
	answer.Line, answer.Addr = s.line, at
	q := s.query
	switch a := at.netAddr().(type) {
	case *net.TCPAddr:
		q.Port = a.Port
	case *net.UDPAddr:
		q.Port = a.Port
	}
	p.Listening(q)
	return answer, fds, nil
}

// nodeListen has the socket listen that a Node primary has bound, and tells where.
// Where the address was taken the primary has only noted that (uv_tcp_bind): the
// socket is not bound, and would get any port.
func nodeListen(fd sock.FD, q nodeipc.Query) (*remoteAddr, error) {
	at, err := fd.Getsockname()
	if err != nil {
		return nil, err
	}
	if q.Type != nodeipc.FDOnly && q.Type != nodeipc.Pipe && (at.Port() == 0 || q.Port != 0 && int(at.Port()) != q.Port) {
		return nil, os.NewSyscallError("bind", unix.EADDRINUSE)
	}
	if q.Type == nodeipc.UDP4 || q.Type == nodeipc.UDP6 {
		return &remoteAddr{Network: "udp", Address: at.AddrPort().String()}, nil
	}
	backlog := q.Backlog
	if backlog == 0 {
		backlog = listen.DefaultBacklog
	}
	if err := fd.Listen(backlog); err != nil {
		return nil, err
	}
	return remoteAddrOf(at.NetAddr(sock.Stream)), nil
}

// nodeAddr is where a server listens whose connections the primary accepts.
func nodeAddr(s *nodeServer, name *nodeipc.SockName) *remoteAddr {
	if name == nil || name.Address == "" {
		return &remoteAddr{Network: "unix", Address: strings.Replace(s.query.Address, "\x00", "@", 1)}
	}
	return &remoteAddr{Network: "tcp", Address: net.JoinHostPort(name.Address, strconv.Itoa(name.Port))}
}

// enter makes it one of the listeners, with counters of its own. Those of a
// connection that outlives its listener are busy.
func (p *nodePrimary) enter(s *nodeServer, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s.line = range p.lines {
		if p.lines[s.line] == nil && p.self.board.line(s.line).Active.Load() == 0 {
			p.lines[s.line], s.name = s, name
			return nil
		}
	}
	if len(p.lines) == maxListeners {
		return fmt.Errorf("worker %d has %d listeners: close some", p.self.id, maxListeners)
	}
	s.line, s.name = len(p.lines), name
	p.lines = append(p.lines, s)
	return nil
}

func randomHex(n int) string {
	p := make([]byte, n)
	rand.Read(p)
	return hex.EncodeToString(p)
}
