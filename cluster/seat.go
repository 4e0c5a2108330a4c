package cluster

import (
	"slices"
	"time"

	"onconn/fdpass"
	"onconn/sock"
)

// A seat is a worker's place at one listener.
type seat struct {
	worker  *Worker
	queue   *fdpass.Queue
	line    *line
	limit   int64     // of the queue
	sent    int64     // connections put into the queue, ever
	doubted time.Time // since when the queue is empty and sent says otherwise
	fullAt  int64     // what was queued when the kernel refused more; 0: it didn't
	failed  time.Time // when the kernel refused for another reason
	taken   int64     // what it had taken at the last look
	since   time.Time // since when something waits and nothing is taken
	hung    bool
}

// choose asks the policy among those that have room.
func (d *dispatcher) choose(peer sock.Addr) *seat {
	d.loads, d.choice = d.loads[:0], d.choice[:0]
	for _, s := range d.seats {
		if l, ok := d.load(s); ok {
			d.loads = append(d.loads, l)
			d.choice = append(d.choice, s)
		}
	}
	if len(d.choice) == 0 {
		return nil
	}
	i := d.policy.Pick(peer, d.loads)
	if i < 0 || i >= len(d.choice) {
		i = 0
	}
	return d.choice[i]
}

// load is what a seat has, and whether there is room for more.
func (d *dispatcher) load(s *seat) (l Load, room bool) {
	most := s.limit
	if d.maxActive > 0 {
		most = min(most, d.maxActive)
	}
	// In this order: a connection that moves meanwhile is seen twice, not never.
	queue := int64(0)
	if d.mixed {
		queue = queued(s.queue)
	} else {
		queue = s.queued(most)
	}
	l = Load{Slot: s.worker.Slot, Active: s.line.Active.Load(), Queued: queue}
	if s.awake(); s.hung {
		return l, false
	}
	if !s.doubted.IsZero() {
		d.later()
	}
	if s.fullAt > 0 && queued(s.queue) < s.fullAt {
		s.fullAt = 0
	}
	room = s.fullAt == 0 && l.Queued < s.limit && (d.maxActive == 0 || l.Active+l.Queued < d.maxActive) &&
		(s.failed.IsZero() || time.Since(s.failed) >= retryAfter)
	return l, room
}

// hasRoom reports whether some seat has room.
func (d *dispatcher) hasRoom() bool {
	return slices.ContainsFunc(d.seats, func(s *seat) bool {
		_, room := d.load(s)
		return room
	})
}

// queued is how many connections wait in the seat's queue, or are just being
// taken. The difference of two counters costs no system call. The kernel is asked
// only when it says that there are too many: a record that was spoiled on the way
// was never counted as taken. One that was taken this moment will be.
func (s *seat) queued(most int64) int64 {
	n := s.sent - s.line.Accepted.Load()
	switch {
	case n < most || queued(s.queue) > 0:
		s.doubted = time.Time{}
	case s.doubted.IsZero():
		s.doubted = time.Now()
	case time.Since(s.doubted) > doubtTime:
		s.sent, n, s.doubted = s.sent-n, 0, time.Time{}
	}
	return max(n, 0)
}

// doubtTime is far longer than a worker needs from taking to counting.
const doubtTime = 100 * time.Millisecond

func queued(q *fdpass.Queue) int64 {
	n, err := q.Len()
	if err != nil {
		return 0
	}
	return int64(n)
}
