package backlog

import (
	"errors"
	"net/netip"
)

// A Namespace reads the sockets of one network namespace. It keeps a netlink
// socket and the files of its counters open, all made inside the namespace, so
// it goes on reading after the last process has left it. Its methods may be
// called from several goroutines; none needs a privilege.
type Namespace struct {
	path string
	id   uint64
}

// OpenNamespace opens the network namespace of a file such as /run/netns/blue
// or /proc/1/ns/net, which needs CAP_SYS_ADMIN. An empty path is the namespace
// that this process is in.
func OpenNamespace(path string) (*Namespace, error) { return nil, errors.ErrUnsupported }

// Path is what the namespace was opened by, and empty for our own.
func (n *Namespace) Path() string { return n.path }

// ID is the inode number of the namespace, as ls -l /proc/PID/ns/net shows it.
func (n *Namespace) ID() uint64 { return n.id }

// Close closes what the namespace keeps open.
func (n *Namespace) Close() error { return nil }

// Listeners lists the TCP sockets that listen, IPv4 and IPv6. An MPTCP listener
// appears once.
func (n *Namespace) Listeners() ([]Listener, error) { return nil, errors.ErrUnsupported }

// UnixListeners lists the unix sockets that listen.
func (n *Namespace) UnixListeners() ([]Listener, error) { return nil, errors.ErrUnsupported }

// Lookup reads one TCP listener, in about 2 µs whatever their number. Without a
// cookie (0) it finds one member of a SO_REUSEPORT group, always the same.
// ENOENT: nobody listens there, or not with that cookie.
func (n *Namespace) Lookup(addr netip.AddrPort, cookie uint64) (Listener, error) {
	return Listener{}, errors.ErrUnsupported
}

// HalfOpen lists the unfinished handshakes (SYN_RECV) of a local port, or of all
// ports for 0. It walks the whole hash table of the host: some milliseconds, so
// at most once a second. Handshakes answered with a SYN cookie are not there.
func (n *Namespace) HalfOpen(port uint16) ([]HalfOpen, error) { return nil, errors.ErrUnsupported }

// Waiting lists the connections in the accept queues of a local port, or of all
// ports for 0, oldest first. Its cost is that of HalfOpen, and more with many
// connections.
func (n *Namespace) Waiting(port uint16) ([]Waiting, error) { return nil, errors.ErrUnsupported }

// Connections counts, by local port, the TCP connections that exist now in the
// states from ESTABLISHED to LAST_ACK, accepted or not.
func (n *Namespace) Connections() (map[uint16]int, error) { return nil, errors.ErrUnsupported }

// Counters reads what /proc/net/netstat and /proc/net/snmp count in the namespace.
func (n *Namespace) Counters() (Counters, error) { return nil, errors.ErrUnsupported }

// Sysctls reads the settings of the namespace that govern its queues.
func (n *Namespace) Sysctls() (Sysctls, error) { return Sysctls{}, errors.ErrUnsupported }
