package survey

import (
	"math"
	"slices"
	"time"

	"onconn/cmd/backlogprobe/internal/handshake"
)

// captureAfter is how long a capture must have run to have seen those who wait:
// a client's first retry comes after a second.
const captureAfter = 2500 * time.Millisecond

// mostClients is how many hurt clients a report names.
const mostClients = 10

// hurt says how many clients of each listener wait outside.
func (n *seen) hurt(rows []Row, r *Report) {
	if n.captured != nil && n.captured.Err() == nil && time.Since(n.capture) > captureAfter {
		n.hurtCaptured(rows)
	} else {
		n.hurtEstimated(rows, r)
	}
	for i := range rows {
		row := &rows[i]
		if worst := row.Worst(); row.Hurt != nil && row.Hurt.Clients == 0 && row.Drops > 0 && worst.Depth >= worst.Capacity {
			row.Hurt = nil
			r.UnknownWhy["clients_hurt"] = "of a full queue that refused nobody now: who was refused before may wait for the next try"
		}
		if row.Hurt == nil && row.Port == 0 {
			r.UnknownWhy["clients_hurt"] = "of unix sockets: nothing is refused in silence, connect(2) waits or fails"
		}
	}
}

func (n *seen) hurtCaptured(rows []Row) {
	for i := range rows {
		if rows[i].Port != 0 {
			rows[i].Hurt = &Hurt{How: "captured"}
		}
	}
	for _, c := range n.captured.Waiting() {
		for _, i := range takers(rows, c.Server) {
			rows[i].Hurt.add(c)
		}
	}
}

// add takes the longest waiting first.
func (h *Hurt) add(c handshake.Client) {
	waits := time.Since(c.Since)
	h.Clients++
	if c.Path == handshake.ACKPath {
		h.FinalACKs++
	}
	h.Longest = max(h.Longest, waits)
	if len(h.Worst) < mostClients {
		h.Worst = append(h.Worst, Client{c.Client.String(), c.Tries, waits, string(c.Path)})
	}
}

// hurtEstimated takes each refusal in a second for a client: Linux tries
// again after a second, four times. A refused final ACK counts twice, and later
// tries come more seldom, so it is about so many.
func (n *seen) hurtEstimated(rows []Row, r *Report) {
	for i := range rows {
		row := &rows[i]
		switch {
		case row.Port == 0:
		case r.Sampled < time.Second/2:
			r.UnknownWhy["clients_hurt"] = "needs a look of a second or more"
		case row.Dropped == 0 || n.Delta["TcpExtListenDrops"] == 0: // stray segments at most
			row.Hurt = &Hurt{How: "estimated"}
		default:
			row.Hurt = &Hurt{Clients: row.refusedInASecond(r.Sampled), How: "estimated"}
		}
	}
}

// refusedInASecond is how many segments were refused in one second: the one of
// the last three with the most, as those who try again after a second and some
// milliseconds can leave one out.
func (row *Row) refusedInASecond(sampled time.Duration) int {
	if sampled <= 1500*time.Millisecond {
		return int(math.Ceil(float64(row.Dropped) / max(sampled.Seconds(), 1)))
	}
	sockets := row.Members
	if sockets == nil {
		sockets = []Row{*row}
	}
	var seconds [3]int
	for _, s := range sockets {
		now := s.Observation.Until.Truncate(time.Second)
		for _, second := range s.Observation.History {
			if ago := int(now.Sub(second.Start) / time.Second); ago >= 0 && ago < len(seconds) {
				seconds[ago] += int(second.Dropped)
			}
		}
	}
	return slices.Max(seconds[:])
}
