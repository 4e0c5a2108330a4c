package backlog

import (
	"net/netip"
	"time"

	"onconn/sock"
)

// A Listener is one listening socket as sock_diag shows it.
type Listener struct {
	Addr      sock.Addr // local
	Type      sock.Type // Stream; of unix sockets also SeqPacket
	MPTCP     bool
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
	Cookie uint64 // SO_COOKIE: never reused while the host is up
	UID    int    // the user who made the socket
}

// A HalfOpen is a handshake whose final ACK the kernel is waiting for, or has
// refused. It carries no reference to its listener: only the local port tells.
type HalfOpen struct {
	Local, Remote netip.AddrPort
	Age           time.Duration // since the SYN; to about 10 ms
	Retransmitted int           // SYN-ACKs sent again
}

// A Waiting is a connection that no process has accepted yet.
type Waiting struct {
	Local, Remote netip.AddrPort
	Age           time.Duration // since its handshake ended (tcpi_last_data_sent); to about 4 ms
	Bytes         int           // received, unread
	Closed        bool          // the client has closed its side already (CLOSE_WAIT)
}
