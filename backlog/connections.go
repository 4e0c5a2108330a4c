package backlog

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A HalfOpen is a handshake whose final ACK the kernel is waiting for, or has
// refused, or put off (TCP_DEFER_ACCEPT). It carries no reference to its listener: only the local port tells.
type HalfOpen struct {
	Local, Remote netip.AddrPort

	// Age is the time since the SYN, to about 10 ms, if the client is silent.
	// It is only an upper bound, and may be twenty times too much, once
	// Retransmitted isn't 0 and the client repeats its SYN, as one does that the
	// SYN-ACK doesn't reach: each repetition is answered and counted too. With
	// TCP_DEFER_ACCEPT it is too small: the timer of a client that is connected,
	// but has sent nothing, runs on without being counted.
	Age           time.Duration
	Retransmitted int // SYN-ACKs sent again
}

// A Waiting is a connection that no process has accepted yet.
type Waiting struct {
	Local, Remote netip.AddrPort
	Age           time.Duration // since its handshake ended (tcpi_last_data_sent); to about 4 ms
	Bytes         int           // received, unread; MPTCP hides them: 0
	Closed        bool          // the client has closed its side already (CLOSE_WAIT); MPTCP hides it
}

// HalfOpen lists the unfinished handshakes (SYN_RECV) of a local port, or of all
// ports for 0, oldest first. It walks the whole hash table of the host: some
// milliseconds, so at most once a second. Handshakes answered with a SYN cookie
// are not there.
func (n *Namespace) HalfOpen(port uint16) ([]HalfOpen, error) {
	r := inetRequest{states: 1 << tcpSynRecv, local: localPort(port)}
	all, err := inetDump(n.slow, r, func(s inetSocket) (HalfOpen, bool) {
		return HalfOpen{
			Local:         unmapped(s.local),
			Remote:        unmapped(s.remote),
			Age:           handshakeAge(s.retrans, s.expires),
			Retransmitted: int(s.retrans),
		}, true
	})
	slices.SortStableFunc(all, func(a, b HalfOpen) int { return cmp.Compare(b.Age, a.Age) })
	return all, err
}

// handshakeAge is how long ago the SYN came, when the SYN-ACK has been sent
// again so many times and its timer has so long to go: the timer runs 1, 2, 4 s
// and so on, up to TCP_RTO_MAX (reqsk_timer_handler). The kernel doesn't tell
// those apart that answered a repeated SYN.
func handshakeAge(retransmitted uint8, expires time.Duration) time.Duration {
	const initial, most = time.Second, 120 * time.Second
	age, timeout := time.Duration(0), initial
	for range int(retransmitted) + 1 {
		age += timeout
		timeout = min(2*timeout, most)
	}
	return max(age-expires, 0)
}

// Waiting lists the connections in the accept queues of a local port, or of all
// ports for 0, oldest first. Its cost is that of HalfOpen, and more with many
// connections. One that its client has reset still waits in the queue, but is
// not there: Queue.Depth may be greater than their number.
func (n *Namespace) Waiting(port uint16) ([]Waiting, error) {
	listening, err := n.ports(port)
	if err != nil || len(listening) == 0 {
		return nil, err
	}
	// What waits has no inode yet and was left alone by its server, so that it
	// can't be in another state. What a server has closed without an inode is
	// in a later one.
	r := inetRequest{states: 1<<tcpEstablished | 1<<tcpCloseWait, attributes: withInfo, local: localPort(port)}
	all, err := inetDump(n.slow, r, func(s inetSocket) (Waiting, bool) {
		w := Waiting{
			Local:  unmapped(s.local),
			Remote: unmapped(s.remote),
			Age:    s.lastData,
			Bytes:  int(s.rqueue),
			Closed: s.state == tcpCloseWait,
		}
		if w.Closed && w.Bytes > 0 {
			w.Bytes-- // the FIN has a sequence number
		}
		return w, s.inode == 0 && listening[s.local.Port()]
	})
	slices.SortStableFunc(all, func(a, b Waiting) int { return cmp.Compare(b.Age, a.Age) })
	return all, err
}

// ports are those with a listener.
func (n *Namespace) ports(only uint16) (map[uint16]bool, error) {
	all, err := inetDump(n.quick, inetRequest{states: 1 << tcpListen, local: localPort(only)}, onlyPort)
	ports := make(map[uint16]bool, len(all))
	for _, p := range all {
		ports[p] = true
	}
	return ports, err
}

// Connections counts, by local port, the TCP connections that exist now in the
// states from ESTABLISHED to LAST_ACK, accepted or not. Those whose socket has
// gone, and of which the kernel keeps just a note (TIME_WAIT, and the like of
// FIN_WAIT2), don't count.
func (n *Namespace) Connections() (map[uint16]int, error) {
	r := inetRequest{states: 1<<tcpEstablished | 1<<tcpFinWait1 | 1<<tcpFinWait2 | 1<<tcpCloseWait | 1<<tcpLastAck | 1<<tcpClosing}
	all, err := inetDump(n.slow, r, func(s inetSocket) (uint16, bool) {
		return s.local.Port(), s.timer != timerTimeWait
	})
	if err != nil {
		return nil, err
	}
	count := map[uint16]int{}
	for _, p := range all {
		count[p]++
	}
	return count, nil
}

func onlyPort(s inetSocket) (uint16, bool) { return s.local.Port(), true }

func localPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.Addr{}, port) }
