package cluster

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/backlog"
	"onconn/fdpass"
	"onconn/sock"
)

// A dispatcher accepts connections in the primary and puts each into the
// handoff queue of the worker that the policy picks. When no worker has room it
// stops accepting, and the kernel's accept queue holds the rest.
type dispatcher struct {
	loop      *accept.Loop
	log       *slog.Logger
	policy    Policy
	maxQueued int   // per worker: handed over and not yet taken
	maxActive int64 // per worker: taken and not yet closed; 0: any

	mu      sync.Mutex
	seats   []*seat // of the workers that take connections, by slot
	left    []*leaver
	hand    []fdpass.Record // accepted, and no room anywhere
	sources []*tap
	paused  bool
	loads   []Load  // scratch of choose
	choice  []*seat // likewise
	watch   func()  // has look called until nothing waits
	mixed   bool    // workers count connections from elsewhere too
	retry   bool    // room will be called
}

// newDispatcher makes one that accepts nothing until a worker joins.
func newDispatcher(p *Primary) *dispatcher {
	return &dispatcher{
		loop: p.loop, log: p.log, policy: p.cfg.Policy(),
		maxQueued: p.cfg.MaxQueued, maxActive: int64(p.cfg.MaxConns), paused: true,
		watch: func() {},
	}
}

// A leaver is the queue of a worker that gets no more connections.
type leaver struct {
	worker *Worker
	queue  *fdpass.Queue
	gone   bool // nobody will take from it any more
}

// A tap is a listening socket that the dispatcher accepts from.
type tap struct {
	fd     sock.FD
	handle *accept.Listener
}

// open begins to accept from fd, which stays the caller's and must be
// non-blocking.
func (d *dispatcher) open(fd sock.FD) error {
	// Paused, or it would accept what it may have nobody to give to.
	handle, err := d.loop.Add(fd, d.onconnection, accept.Paused())
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sources = append(d.sources, &tap{fd, handle})
	if !d.paused {
		handle.Resume()
	}
	return nil
}

// shut stops accepting from fd, if it does.
func (d *dispatcher) shut(fd sock.FD) {
	d.mu.Lock()
	i := slices.IndexFunc(d.sources, func(t *tap) bool { return t.fd == fd })
	if i < 0 {
		d.mu.Unlock()
		return
	}
	t := d.sources[i]
	d.sources = slices.Delete(d.sources, i, i+1)
	d.mu.Unlock()
	t.handle.Remove() // waits for onconnection, which wants d.mu
}

// has reports whether it accepts from fd.
func (d *dispatcher) has(fd sock.FD) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.sources, func(t *tap) bool { return t.fd == fd })
}

// empty reports whether no worker takes connections.
func (d *dispatcher) empty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.seats) == 0
}

// finish takes what waits on fd now, and accepts from it no more. Under load
// something always waits, so it ends after one queue's length.
func (d *dispatcher) finish(fd sock.FD) {
	d.shut(fd)
	q, _ := backlog.Of(fd)
	for range max(q.Capacity(), q.Depth) {
		conn, peer, err := fd.Accept()
		if err == nil {
			d.onconnection(conn, peer)
		} else if accept.Classify(err) != accept.Retry {
			return
		}
	}
}

// join seats a worker. The descriptor is the end of its queue to give it, and
// stays the dispatcher's.
func (d *dispatcher) join(w *Worker, l *line) (sock.FD, error) {
	q, err := fdpass.NewQueue()
	if err != nil {
		return sock.None, err
	}
	limit, err := q.SetLimit(d.maxQueued)
	if err != nil {
		q.Close()
		return sock.None, err
	}
	l.missed.Store(false)
	d.mu.Lock()
	d.enter(&seat{worker: w, queue: q, line: l, limit: int64(min(limit, d.maxQueued)), sent: l.Accepted.Load()})
	d.refill()
	d.mu.Unlock()
	return q.ReceiveEnd(), nil
}

// enter adds a seat in the order of slots.
func (d *dispatcher) enter(s *seat) {
	i, _ := slices.BinarySearchFunc(d.seats, s.worker.Slot, func(s *seat, slot int) int { return s.worker.Slot - slot })
	d.seats = slices.Insert(d.seats, i, s)
}

// leave ends a worker's seat. What it has not taken goes to others; if there are
// none and it still lives, it may take the rest. Its queue ends when it is empty.
func (d *dispatcher) leave(w *Worker, gone bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seats = slices.DeleteFunc(d.seats, func(s *seat) bool {
		if s.worker == w {
			d.left = append(d.left, &leaver{worker: w, queue: s.queue})
			if s.hung {
				w.hangs(-1)
			}
			// The worker reads the end of the stream behind what is queued.
			s.queue.SendEnd().Shutdown(unix.SHUT_WR)
		}
		return s.worker == w
	})
	for _, l := range d.left {
		if l.worker == w {
			l.gone = l.gone || gone
		}
	}
	if len(d.seats) == 0 {
		d.pause()
	}
	d.refill()
}

// onconnection runs on the loop's goroutine.
func (d *dispatcher) onconnection(fd sock.FD, peer sock.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := fdpass.Record{FD: fd, Peer: peer}
	if len(d.hand) > 0 || !d.place(r) {
		d.hand = append(d.hand, r)
		d.pause()
	}
}

// room tries again what had no room.
func (d *dispatcher) room() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retry = false
	d.refill()
}

// refill places what is in hand, then what leavers have not taken, and accepts
// again if that was all.
func (d *dispatcher) refill() {
	for len(d.hand) > 0 {
		if !d.place(d.hand[0]) {
			d.pause()
			return
		}
		d.hand = d.hand[1:]
	}
	d.hand = nil
	if !d.takeBack() {
		d.pause()
		return
	}
	if d.paused && len(d.seats) > 0 {
		d.paused = false
		for _, t := range d.sources {
			t.handle.Resume()
		}
	}
}

// takeBack moves to others what leavers have not taken, and reports whether it
// found room for all. Without others, a leaver that lives keeps it.
func (d *dispatcher) takeBack() bool {
	for len(d.left) > 0 {
		l := d.left[0]
		if len(d.seats) == 0 {
			// The dead one's connections wait in its queue for a successor.
			return !slices.ContainsFunc(d.left, func(l *leaver) bool { return l.gone && queued(l.queue) > 0 })
		}
		fd, peer, err := l.queue.Steal()
		switch class := accept.Classify(err); {
		case err == nil:
		case class == accept.Exhausted: // it waits in the queue
			d.later()
			return false
		case class == accept.Retry:
			d.log.Error("a connection came to nothing on its way to a worker", "worker", l.worker.ID, "err", err)
			continue
		default: // the queue is empty
			l.queue.Close()
			d.left = d.left[1:]
			continue
		}
		if r := (fdpass.Record{FD: fd, Peer: peer}); !d.place(r) {
			d.hand = append(d.hand, r)
			return false
		}
	}
	return true
}

// place gives a connection to a worker, and reports whether one had room.
func (d *dispatcher) place(r fdpass.Record) bool {
	for {
		s := d.choose(r.Peer)
		if s == nil {
			return false
		}
		_, err := s.queue.Send([]fdpass.Record{r})
		if err == nil {
			if s.sent == s.line.Accepted.Load() {
				s.since = time.Now()
			}
			s.sent++
			d.watch()
			r.FD.CloseNow() // the one in the queue keeps the connection
			return true
		}
		d.refused(s, err)
	}
}

// refused notes why a seat's queue takes nothing now.
func (d *dispatcher) refused(s *seat, err error) {
	switch {
	case errors.Is(err, unix.EAGAIN):
		s.fullAt = queued(s.queue)
	case errors.Is(err, unix.EPIPE):
		d.log.Error("a worker has shut down its queue and is killed", "worker", s.worker.ID, "pid", s.worker.PID)
		s.worker.Kill(unix.SIGKILL)
	default:
		d.log.Error("cannot hand a connection over", "worker", s.worker.ID, "err", err)
	}
	if s.fullAt == 0 { // nobody will say when it is better
		s.failed = time.Now()
		d.later()
	}
}

// retryAfter is when what failed for want of memory or descriptors is tried
// again.
const retryAfter = 10 * time.Millisecond

// later tries again what had no room.
func (d *dispatcher) later() {
	if !d.retry {
		d.retry = true
		time.AfterFunc(retryAfter, func() { d.loop.Post(d.room) })
	}
}

// pause stops accepting until a worker says that it has room. One that got some
// just before it could see that this is wanted won't say so; one that has
// something queued will.
func (d *dispatcher) pause() {
	if !d.paused {
		d.paused = true
		for _, t := range d.sources {
			t.handle.Pause()
		}
	}
	for _, s := range d.seats {
		s.worker.board.header().wanted.Store(true)
	}
	if len(d.hand) > 0 && d.hasRoom() {
		d.loop.Post(d.room)
	}
}

// waiting is how many connections no worker has taken yet.
func (d *dispatcher) waiting() (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		n += queued(s.queue)
	}
	for _, l := range d.left {
		n += queued(l.queue)
	}
	return n + int64(len(d.hand))
}

// close ends it. Connections that no worker took are closed with it.
func (d *dispatcher) close() {
	for _, t := range d.sources {
		t.handle.Remove()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.hand {
		r.FD.Close()
	}
	for _, s := range d.seats {
		s.queue.Close()
	}
	for _, l := range d.left {
		l.queue.Close()
	}
	d.sources, d.hand, d.seats, d.left = nil, nil, nil, nil
}

// onWait sets what is called when something waits for a worker.
func (d *dispatcher) onWait(watch func()) { d.watch = watch }

func (d *dispatcher) held(waiting map[*Worker]int64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		waiting[s.worker] += queued(s.queue)
	}
	return len(d.hand)
}
