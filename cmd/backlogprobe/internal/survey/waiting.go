package survey

import (
	"net/netip"

	"onconn/backlog"
)

// mostWaiters is how many connections of a queue a report names.
const mostWaiters = 10

// share gives the unfinished handshakes and the queued connections to the
// listeners that they belong to, which the kernel doesn't say: by their address.
func (n *seen) share(rows []Row, r *Report) {
	for _, h := range n.halfOpen {
		for _, i := range takers(rows, h.Local) {
			rows[i].HalfOpen++
			if h.Retransmitted > 0 {
				rows[i].resent++
			}
		}
	}
	for _, w := range n.waiting {
		waiting := takers(rows, w.Local)
		if len(waiting) > 1 { // members that weren't folded: only those with a queue can have it
			waiting = nonEmpty(rows, waiting)
		}
		if len(waiting) == 1 {
			rows[waiting[0]].waiter(w)
		}
	}
	for _, row := range rows {
		if row.Depth > 0 && row.OldestWait == nil {
			reason := "the kernel doesn't tell which of several sockets a connection waits for"
			if row.Port == 0 {
				reason = "unix sockets don't tell"
			}
			for _, field := range []string{"oldest_wait_ns", "bytes_waiting", "given_up"} {
				r.UnknownWhy[field] = reason
			}
		}
	}
}

func (row *Row) waiter(w backlog.Waiting) {
	if row.Depth == 0 {
		return // it was accepted before the queue was read
	}
	if row.OldestWait == nil { // the oldest come first
		row.OldestWait = &w.Age
	}
	row.BytesWaiting += w.Bytes
	if w.Closed {
		row.GivenUp++
	}
	if len(row.Waiters) < mostWaiters {
		row.Waiters = append(row.Waiters, Waiter{w.Remote.String(), w.Age, w.Bytes, w.Closed})
	}
}

// takers are the listeners that may have got a connection to an address: those
// on that address, else those on the wildcard (inet_lookup_listener).
func takers(rows []Row, local netip.AddrPort) (found []int) {
	exact := false
	for i := range rows {
		if rows[i].Port != int(local.Port()) {
			continue
		}
		l := rows[i].Observation.Listener
		at := l.Addr.AddrPort().Addr().WithZone("")
		switch ip := local.Addr().WithZone(""); {
		case at == ip:
			if !exact {
				found, exact = nil, true
			}
			found = append(found, i)
		case exact || !at.IsUnspecified():
		case at.Is4() == ip.Is4() || !l.V6Only && at.Is6():
			found = append(found, i)
		}
	}
	return found
}

func nonEmpty(rows []Row, of []int) (found []int) {
	for _, i := range of {
		if rows[i].Depth > 0 {
			found = append(found, i)
		}
	}
	return found
}
