package backlog

import (
	"strings"

	"onconn/sock"
)

// A Listener is one listening socket as sock_diag shows it.
type Listener struct {
	Addr      sock.Addr // local
	Type      sock.Type // Stream; of unix sockets also SeqPacket
	MPTCP     bool      // seen since Linux 5.19
	V6Only    bool
	Interface int // SO_BINDTODEVICE, an index; 0: any
	Queue

	// Drops is sk_drops: segments and handshakes that this socket refused since
	// it was made. It counts packets, not clients: each SYN refused by a full
	// accept queue once, each refused final ACK twice, retries again, and a
	// few stray segments that have nothing to do with a queue. Accepting or
	// listening again doesn't reset it. Unix sockets count nothing.
	Drops uint32

	Inode  uint32
	Cookie uint64 // never reused while the host is up; SO_COOKIE, but of MPTCP that of its TCP socket
	UID    int    // the user who made the socket
}

// Listeners lists the TCP sockets that listen, IPv4 and IPv6. An MPTCP listener
// appears once.
func (n *Namespace) Listeners() ([]Listener, error) {
	r := inetRequest{states: 1 << tcpListen, attributes: withMeminfo}
	all, err := inetDump(n.quick, r, func(s inetSocket) (Listener, bool) { return s.listener(), true })
	if err != nil {
		return nil, err
	}
	return all, n.markMPTCP(all)
}

// listener is what a row in state LISTEN says: its queue is in the fields of bytes.
func (s *inetSocket) listener() Listener {
	return Listener{
		Addr:      sock.IPAddr(s.local),
		Type:      sock.Stream,
		V6Only:    s.v6only,
		Interface: int(s.iface),
		Queue:     Queue{Depth: int(s.rqueue), Limit: int(s.wqueue)},
		Drops:     s.drops,
		Inode:     s.inode,
		Cookie:    s.cookie,
		UID:       int(s.uid),
	}
}

// UnixListeners lists the unix sockets that listen.
func (n *Namespace) UnixListeners() ([]Listener, error) {
	rows, err := unixSockets(n.quick, 1<<tcpListen, udiagShowName|udiagShowRqLen|udiagShowUID)
	if err != nil {
		return nil, err
	}
	all := make([]Listener, len(rows))
	for i, s := range rows {
		all[i] = Listener{
			Addr:   s.addr(),
			Type:   sock.Type(s.typ),
			Queue:  Queue{Depth: int(s.depth), Limit: int(s.limit)},
			Inode:  s.inode,
			Cookie: s.cookie,
			UID:    int(s.uid),
		}
	}
	return all, nil
}

// addr takes care of a path that begins with "@", and of the NUL that ends paths.
func (s *unixSocket) addr() sock.Addr {
	name := s.name
	if name != "" && name[0] != 0 {
		name = strings.TrimRight(name, "\x00")
	}
	if strings.HasPrefix(name, "@") {
		name = "./" + name
	}
	return sock.UnixAddr(name)
}
