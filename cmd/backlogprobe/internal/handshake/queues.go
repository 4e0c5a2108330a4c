package handshake

import (
	"net/netip"
	"time"

	"onconn/backlog"
)

// A Depth is an accept queue at some moment.
type Depth struct {
	backlog.Queue
	Members int // sockets that share the port by SO_REUSEPORT: this is the fullest
}

// Full reports whether a SYN would have been refused.
func (d Depth) Full() bool { return d.Depth >= d.Capacity() }

// Queues reads the accept queues of a network namespace. One goroutine may use
// it at a time.
type Queues struct {
	ns     *backlog.Namespace
	listed time.Time
	groups map[netip.AddrPort]Depth // of the addresses that several sockets share
}

// OpenQueues opens the namespace of a file; empty: ours. Its owner calls Close.
func OpenQueues(netns string) (*Queues, error) {
	ns, err := backlog.OpenNamespace(netns)
	if err != nil {
		return nil, err
	}
	return &Queues{ns: ns}, nil
}

// Close closes the namespace.
func (q *Queues) Close() error { return q.ns.Close() }

// At reads the queue of the listener that a SYN to an address would find. It is
// not ok if there is none.
func (q *Queues) At(a netip.AddrPort) (d Depth, ok bool) {
	l, err := q.ns.Lookup(a, 0)
	if err != nil {
		return d, false
	}
	// The kernel shows one member of a group, which need not be the one that the
	// SYN is for. The listing costs more with many listeners: 100 times a second.
	if now := time.Now(); now.Sub(q.listed) > 10*time.Millisecond {
		q.list(now)
	}
	if group := q.groups[l.Addr.AddrPort()]; group.Members > 1 {
		return group, true
	}
	return Depth{l.Queue, 1}, true
}

func (q *Queues) list(now time.Time) {
	all, err := q.ns.Listeners()
	if err != nil {
		return
	}
	q.listed = now
	q.groups = map[netip.AddrPort]Depth{}
	for _, l := range all {
		local := l.Addr.AddrPort()
		d := q.groups[local]
		d.Members++
		if d.Members == 1 || l.Depth-l.Limit > d.Depth-d.Limit {
			d.Queue = l.Queue
		}
		q.groups[local] = d
	}
}
