package watch

import (
	"net/netip"
	"slices"

	"onconn/cmd/syscallflow/internal/recording"
)

// A tuple is a connection as the server sees it.
type tuple struct{ local, peer netip.AddrPort }

// join sorts packets and depths, and finds the socket of each packet: that of the
// connection, if it was accepted, or else the listener's.
func join(r *recording.Recording, ports map[uint16]bool) {
	slices.SortStableFunc(r.Packets, func(a, b recording.Packet) int { return int(a.Time - b.Time) })
	r.Depths = changes(r.Depths)

	accepted := map[tuple][]recording.SocketID{} // in the order of acceptance
	var listeners []recording.Socket
	for _, s := range r.Sockets {
		local, err := netip.ParseAddrPort(s.Local)
		if err != nil {
			continue
		}
		if s.Listens {
			listeners = append(listeners, s)
		} else if peer, err := netip.ParseAddrPort(s.Peer); err == nil && s.From != 0 {
			accepted[tuple{local, peer}] = append(accepted[tuple{local, peer}], s.ID)
		}
	}
	// A client's port may come again: the k-th connection is the k-th accepted.
	// Those that were never accepted are in the way, but only until one is made
	// after the next SYN.
	syn := map[tuple]uint32{}
	count := map[tuple]int{}
	for i := range r.Packets {
		p := &r.Packets[i]
		t := tuple{p.To, p.From}
		if !ports[t.local.Port()] || ports[t.peer.Port()] && hasFrom(accepted, tuple{p.From, p.To}) {
			t = tuple{p.From, p.To}
		}
		if p.Flags == "S" && p.To == t.local {
			if seq, ok := syn[t]; ok && seq != p.Seq {
				count[t]++
			}
			syn[t] = p.Seq
		}
		if of := accepted[t]; count[t] < len(of) {
			p.Socket = of[count[t]]
		} else {
			p.Socket = listenerOf(listeners, t.local)
		}
	}
}

// changes sorts depths and leaves out those that say nothing new. Those that the tracer
// has read know no drops.
func changes(all []recording.Depth) []recording.Depth {
	slices.SortStableFunc(all, func(a, b recording.Depth) int { return int(a.Time - b.Time) })
	last := map[recording.SocketID]recording.Depth{}
	return slices.DeleteFunc(all, func(d recording.Depth) bool {
		before, ok := last[d.Socket]
		d.Drops = max(d.Drops, before.Drops)
		same := ok && d.Queue == before.Queue && d.Limit == before.Limit && d.Drops == before.Drops
		last[d.Socket] = d
		return same
	})
}

func hasFrom(accepted map[tuple][]recording.SocketID, t tuple) bool { return len(accepted[t]) > 0 }

// listenerOf is the one with that address, or else one on all addresses.
func listenerOf(listeners []recording.Socket, local netip.AddrPort) (id recording.SocketID) {
	for _, l := range listeners {
		a, _ := netip.ParseAddrPort(l.Local)
		if a == local {
			return l.ID
		}
		if a.Port() == local.Port() && a.Addr().IsUnspecified() {
			id = l.ID
		}
	}
	return id
}
