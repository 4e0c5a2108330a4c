package backlog

import (
	"errors"
	"time"
)

// rates counts the connections that arrive at each local port: those that exist
// at the end of a time, less those at its start, and those destroyed during it.
type rates struct {
	destroyed *destroyedSockets
	existing  [1 << 16]int32 // by port, at the last count
	ended     [1 << 16]int32 // reported since then
	lost      bool           // reports, since then
	at        time.Time      // of the last count
	cost      time.Duration  // of a count, in CPU time
}

// startRates takes what exists now as the base.
func (w *Watcher) startRates() (err error) {
	r := &rates{lost: true} // reports of what was before
	if r.destroyed, err = openDestroyed(w.ns); err != nil {
		return err
	}
	w.rates = r
	if err := w.count(); err != nil {
		r.destroyed.Close()
		return err
	}
	w.done.Go(w.countSeconds)
	return nil
}

func (w *Watcher) stopRates() error {
	if w.rates == nil {
		return nil
	}
	w.counting.Lock() // let one by Observations end
	defer w.counting.Unlock()
	return w.rates.destroyed.Close()
}

func (w *Watcher) stopped() bool {
	select {
	case <-w.stop:
		return true
	default:
		return w.Err() != nil
	}
}

// spare is what a count must leave between itself and others, by its cost.
const spare = 50

// countSeconds counts when a second of the clock ends.
func (w *Watcher) countSeconds() {
	timer := time.NewTimer(untilSecond())
	defer timer.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-timer.C:
		}
		w.counting.Lock()
		var err error
		if time.Since(w.rates.at) >= spare*w.rates.cost {
			err = w.count()
		}
		w.counting.Unlock()
		if err != nil {
			w.fail(err)
			return
		}
		timer.Reset(untilSecond())
	}
}

func untilSecond() time.Duration {
	now := time.Now()
	return now.Truncate(time.Second).Add(time.Second).Sub(now)
}

// countNow counts for somebody who asks: if that keeps none from counting at the
// end of the second, or there was none at the last one.
func (w *Watcher) countNow() {
	if w.rates == nil {
		return
	}
	w.counting.Lock()
	defer w.counting.Unlock()
	since, cost := time.Since(w.rates.at), w.rates.cost
	free := since >= spare*cost && untilSecond() >= spare*cost
	overdue := since >= 900*time.Millisecond && since >= 10*cost
	if w.stopped() || !free && !overdue {
		return
	}
	if err := w.count(); err != nil {
		w.fail(err)
	}
}

// count adds what has arrived since the last count, and notes what that cost.
// The caller holds counting.
func (w *Watcher) count() error {
	used, err := cpuTime(w.countAll)
	w.rates.cost = smooth(w.rates.cost, used)
	return err
}

// countAll reads the reports first, then what exists, then the queues: a connection
// that ends or is accepted meanwhile is missed until the next count, and none
// counts twice.
func (w *Watcher) countAll() error {
	start := time.Now()
	w.mu.Lock()
	r := w.rates
	err := r.hear(w.index)
	ended, lost := r.ended, r.lost
	w.mu.Unlock()
	if err != nil {
		return err
	}
	existing, err := w.ns.Connections()
	if errors.Is(err, errChanged) {
		return nil // the next one covers this time too
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := w.listeners()
	if errors.Is(err, errChanged) {
		return nil
	}
	if err != nil {
		return err
	}
	w.take(all, time.Now())
	if lost { // what exists is a new base, and what ended before doesn't count
		if err := r.hear(w.index); err != nil {
			return err
		}
		ended, r.lost = r.ended, false
	}
	w.share(existing, &ended, start, lost)
	for port := range r.ended {
		r.ended[port] -= ended[port]
	}
	clear(r.existing[:])
	for port, n := range existing {
		r.existing[port] = int32(n)
	}
	r.at = start
	return nil
}

// share adds what has arrived at each port to the listeners that were there.
func (w *Watcher) share(existing map[uint16]int, ended *[1 << 16]int32, now time.Time, lost bool) {
	r := w.rates
	there := func(t *track) bool { return t.port() != 0 && !(t.o.Gone && t.o.Until.Before(r.at)) }
	ports := map[uint16]*arrivals{}
	for _, t := range w.tracks {
		if !there(t) {
			continue
		}
		p := t.port()
		if ports[p] == nil {
			n := existing[p] - int(r.existing[p]) + int(ended[p])
			ports[p] = &arrivals{n, n}
		}
		// What a queue holds more than before hasn't been accepted, nor what it
		// held when it went.
		ports[p].accepted -= t.o.Depth - t.counted
		t.counted = t.o.Depth
	}
	if lost {
		return
	}
	for _, t := range w.tracks {
		if there(t) {
			t.add(*ports[t.port()], r.at, now)
		}
	}
}

// hear reads the reports that have come.
func (w *Watcher) hear() error {
	if w.rates == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rates.hear(w.index)
}

// hear counts the connections whose end was reported. index knows the listeners,
// whose own end is reported alike.
func (r *rates) hear(index map[uint64]*track) error {
	lost, err := r.destroyed.read(func(d destroyedSocket) {
		if d.remote == 0 && index[d.cookie] != nil {
			return
		}
		r.ended[d.port]++
	})
	r.lost = r.lost || lost
	return err
}

// arrivals is what one count adds to a port.
type arrivals struct{ arrived, accepted int }

// settle splits a sum into what can be added now, and what a later one owes.
func settle(n int) (now, owed int) { return max(n, 0), min(n, 0) }

// port is 0 of unix sockets.
func (t *track) port() uint16 { return uint16(t.o.Addr.Port()) }

// add takes what arrived from one count to another.
func (t *track) add(a arrivals, from, to time.Time) {
	// What has ended, but isn't destroyed yet, is missing; it must not be
	// subtracted, as it comes back.
	a.arrived, t.owed.arrived = settle(a.arrived + t.owed.arrived)
	a.accepted, t.owed.accepted = settle(a.accepted + t.owed.accepted)
	t.o.Arrived += a.arrived
	t.o.Accepted += a.accepted
	t.o.Counted += to.Sub(from)

	// A count at the end of a second may come late, but not so late that it
	// counts the next one too.
	start := from.Truncate(time.Second)
	if to.Sub(start) > 3*time.Second/2 {
		return
	}
	sum := a
	if t.history != nil || a != (arrivals{}) {
		fresh := t.history == nil
		if s := t.second(start); s != nil {
			if fresh { // nothing ever waited
				s.Empty = time.Second
			}
			s.Arrived = max(s.Arrived, 0) + a.arrived
			s.Accepted = max(s.Accepted, 0) + a.accepted
			sum = arrivals{s.Arrived, s.Accepted}
		}
	}
	if to.Sub(start) >= time.Second {
		t.o.PeakArrived = max(t.o.PeakArrived, sum.arrived)
	}
}
