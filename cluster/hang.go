package cluster

import (
	"sync"
	"sync/atomic"
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
	// lookSlowly is how often it is looked for what will be told anyway, or where
	// looking has not helped.
	lookSlowly = 100 * time.Millisecond
	never      = time.Hour
)

// A rota is when a server is looked at next.
type rota struct {
	soon atomic.Bool // within lookEvery

	mu    sync.Mutex
	timer *time.Timer
}

// watch has the sharing looked at soon, and until nothing waits.
func (s *server) watch() {
	if !s.rota.soon.Swap(true) {
		s.rota.set(lookEvery, s.look)
	}
}

func (r *rota) set(wait time.Duration, look func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case wait > lookEvery && (wait >= never || r.soon.Load()):
	case r.timer == nil:
		r.timer = time.AfterFunc(wait, look)
	default:
		r.timer.Reset(wait)
	}
}

func (s *server) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rota.soon.Store(false) // before the look: what comes after it wants another one
	if s.shut {
		return
	}
	if again := s.sharing.look(time.Now()); again <= lookEvery {
		s.watch()
	} else {
		s.rota.set(again, s.look)
	}
}

// look finds workers that hang, and those that take connections again. The result
// is when to look again.
func (d *dispatcher) look(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	again := never
	for _, s := range d.seats {
		again = min(again, d.wait(s, now))
	}
	d.refill()
	return again
}

// wait looks at one seat, and tells when to look again.
func (d *dispatcher) wait(s *seat, now time.Time) time.Duration {
	s.awake()
	taken := s.line.Accepted.Load()
	if d.waits(s, taken) == 0 {
		s.since = time.Time{}
		if s.hung {
			return lookSlowly // the bell will tell
		}
		return never
	}
	if taken != s.taken || s.since.IsZero() {
		s.taken, s.since = taken, now
	}
	if !s.hung && now.Sub(s.since) >= stealAfter {
		switch queue := queued(s.queue); {
		case queue > 0:
			s.hang()
		case !d.mixed && now.Sub(s.since) > doubtTime: // a record was spoiled on its way
			s.sent = taken
		}
	}
	if s.hung {
		d.steal(s)
	}
	return lookEvery
}

// waits is how many connections wait in a seat's queue, or a little more.
func (d *dispatcher) waits(s *seat, taken int64) int64 {
	if d.mixed {
		return queued(s.queue)
	}
	s.sent = max(s.sent, taken) // it had taken what seemed to be spoiled
	return s.sent - taken
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
// room. It may go on in this moment, as hasRoom sees: then it would be given what
// was stolen from it, for ever.
func (d *dispatcher) steal(s *seat) {
	for len(d.hand) == 0 && d.hasRoom() && s.hung {
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
