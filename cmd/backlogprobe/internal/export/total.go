package export

import (
	"slices"
	"time"

	"onconn/cmd/backlogprobe/internal/survey"
)

// A key is what tells the series of one listener, or group, from others.
type key struct {
	netns, local, proto string
	inode               uint32 // 0 where sockets are folded
}

// A total adds up what the sockets of a key count, each from its own start, so
// that it grows though sockets leave and others come.
type total struct {
	sockets map[uint64]counts // as last seen, by cookie

	drops             uint64
	full              time.Duration
	arrived, accepted rising
}

// counts are what a socket has counted, and since when.
type counts struct {
	drops             uint32 // since it was made
	since             time.Time
	full              time.Duration
	arrived, accepted int // -1: unknown
}

// A rising number follows one that may take a step back for a moment.
type rising struct{ raw, most int }

func (r *rising) add(n int) {
	r.raw += n
	r.most = max(r.most, r.raw)
}

// add takes over what a look saw of the key. Time full is of the fullest socket;
// arrivals are those of the port, which every socket has.
func (t *total) add(r survey.Row) {
	sockets := map[uint64]counts{}
	var full time.Duration
	var arrived, accepted int
	for _, s := range members(r) {
		before := t.sockets[s.Cookie]
		now := counts{s.Drops, s.Observation.Since, s.Full, s.Observation.Arrived, s.Observation.Accepted}
		t.drops += uint64(now.drops - before.drops) // the kernel's counter wraps
		if !now.since.Equal(before.since) {
			before = counts{}
		}
		if now.arrived < 0 {
			now.arrived, now.accepted = before.arrived, before.accepted
		}
		full = max(full, now.full-before.full)
		arrived = further(arrived, now.arrived-before.arrived)
		accepted = further(accepted, now.accepted-before.accepted)
		sockets[s.Cookie] = now
	}
	t.sockets = sockets
	t.full += full
	t.arrived.add(arrived)
	t.accepted.add(accepted)
}

// further is the number that is further from 0.
func further(a, b int) int {
	if max(a, -a) >= max(b, -b) {
		return a
	}
	return b
}

// known reports whether arrivals and accepts have been counted.
func known(r survey.Row) bool {
	return slices.ContainsFunc(members(r), func(s survey.Row) bool { return s.Observation.Arrived >= 0 })
}

// members are the sockets of a row.
func members(r survey.Row) []survey.Row {
	if len(r.Members) > 0 {
		return r.Members
	}
	return []survey.Row{r}
}

// merge makes one row of two that would have the same labels, such as listeners
// on one address and different interfaces: Prometheus would refuse the scrape.
func merge(a, b survey.Row) survey.Row {
	a.Members = slices.Concat(members(a), members(b))
	a.HalfOpen = max(a.HalfOpen, b.HalfOpen) // of the port already
	if a.OldestWait == nil || b.OldestWait != nil && *b.OldestWait > *a.OldestWait {
		a.OldestWait = b.OldestWait
	}
	if a.Hurt == nil || b.Hurt != nil && b.Hurt.Clients > a.Hurt.Clients {
		a.Hurt = b.Hurt // of the port too
	}
	a.Owners = slices.Concat(a.Owners, b.Owners)
	return a
}
