package cluster

import (
	"time"

	"onconn/accept"
	"onconn/fdpass"
)

// A worker that takes nothing of what waits for it, because it is stopped or
// busy with something else, must not hold clients up: others get them. That is
// looked at only while something waits.
const (
	lookEvery = 10 * time.Millisecond
	// stealAfter is how long connections wait for a worker that takes none.
	stealAfter = 25 * time.Millisecond
)

// watch has the sharing looked at until nothing waits.
func (s *server) watch() {
	if !s.watching.Swap(true) {
		time.AfterFunc(lookEvery, s.look)
	}
}

func (s *server) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watching.Store(false) // before the look: what comes after it begins a new one
	if !s.shut && s.sharing.look(time.Now()) {
		s.watch()
	}
}

// look finds workers that hang, and those that take connections again. It
// reports whether something waits for a worker.
func (d *dispatcher) look(now time.Time) (more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		if d.wait(s, now) {
			more = true
		}
	}
	d.refill()
	return more
}

// wait looks at one seat, and reports whether something waits there.
func (d *dispatcher) wait(s *seat, now time.Time) bool {
	s.awake()
	taken := s.line.Accepted.Load()
	if s.sent <= taken && !s.hung {
		s.since = time.Time{}
		return false
	}
	if taken != s.taken || s.since.IsZero() {
		s.taken, s.since = taken, now
	}
	if !s.hung && now.Sub(s.since) >= stealAfter {
		switch queue := queued(s.queue); {
		case queue > 0:
			s.hang()
		case now.Sub(s.since) > doubtTime: // a record was spoiled on its way
			s.sent = taken
		}
	}
	if s.hung {
		d.steal(s)
	}
	return true
}

// hang gives the worker nothing more until it waits in Accept again, which it is
// asked to tell.
func (s *seat) hang() {
	s.hung = true
	s.line.missed.Store(true)
	s.worker.hangs(1)
	s.worker.ping(time.Now())
}

// awake notes that the worker waits in Accept again.
func (s *seat) awake() {
	if s.hung && !s.line.missed.Load() {
		s.hung, s.since = false, time.Time{}
		s.worker.hangs(-1)
	}
}

// steal gives others what waits for a worker that hangs, as far as they have
// room.
func (d *dispatcher) steal(s *seat) {
	for len(d.hand) == 0 && d.hasRoom() {
		fd, peer, err := s.queue.Steal()
		if err != nil && accept.Classify(err) != accept.Retry {
			return
		}
		s.sent--
		if err != nil {
			d.log.Error("a connection came to nothing on its way to a worker", "worker", s.worker.ID, "err", err)
			continue
		}
		if r := (fdpass.Record{FD: fd, Peer: peer}); !d.place(r) {
			d.hand = append(d.hand, r)
		}
	}
}
