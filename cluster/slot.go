package cluster

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// anySlot asks for the first slot that is free.
const anySlot = -1

// A slot is a worker's place, which its successors take over.
type slot struct {
	worker   *Worker     // who has it, if anybody
	starting bool        // somebody is being started for it
	closing  bool        // its program goes when nothing more comes to its socket
	unwanted bool        // nobody is to be started for it: there are to be fewer
	due      *time.Timer // a restart
	delay    time.Duration
	crashes  int // in a row
	restarts int // workers that were started after others
}

// used reports whether the slot has a worker, or will have one.
func (s *slot) used() bool { return !s.unwanted && s.busy() }

func (s *slot) busy() bool { return s.worker != nil || s.starting || s.due != nil }

// slotLocked is slot n, made when it is first asked for.
func (p *Primary) slotLocked(n int) *slot {
	if p.slots[n] == nil {
		p.slots[n] = &slot{}
	}
	return p.slots[n]
}

func (p *Primary) freeSlotLocked() (n int) {
	for p.slots[n] != nil && (p.slots[n].busy() || p.slots[n].closing) {
		n++
	}
	return n
}

// usedLocked are the slots that have a worker or will have one, in order.
func (p *Primary) usedLocked() (used []int) {
	for _, n := range slices.Sorted(maps.Keys(p.slots)) {
		if p.slots[n].used() {
			used = append(used, n)
		}
	}
	return used
}

// reserve takes a slot for a worker that is to be started, in the place of the
// one that has it, if any does. Shutdown waits for it from then on.
func (p *Primary) reserve(n int, before *Worker) (*Worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.started:
		return nil, errNotStarted
	case p.ending:
		return nil, errEnding
	case n == anySlot:
		n = p.freeSlotLocked()
	}
	s := p.slotLocked(n)
	if s.starting || s.worker != before {
		return nil, errTaken
	}
	if s.due != nil {
		s.due.Stop()
		s.due = nil
	}
	s.starting, s.unwanted = true, false
	p.attended.Add(1)
	p.lastID++
	w := newWorker(p, p.lastID, n)
	w.before = before
	return w, nil
}

// enter makes it one of those that live, and reports whether these are asked to
// go.
func (p *Primary) enter(w *Worker) (ending bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.State() != StateDead {
		p.living[w] = true
	}
	return p.ending
}

// settle gives its slot to a worker, and reports whether it lives. Where there are
// to be fewer by now, the worker goes.
func (p *Primary) settle(w *Worker) bool {
	p.mu.Lock()
	lives := p.living[w]
	s := p.slots[w.Slot]
	if lives {
		s.starting, s.worker = false, w
	}
	unwanted := lives && s.unwanted
	p.mu.Unlock()
	if unwanted {
		p.retire(w)
	}
	return lives
}

// vacate ends the starting of a worker that came to nothing. again: if nobody has
// the slot, another one is started.
func (p *Primary) vacate(n int, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots[n].starting = false
	if again {
		p.restockLocked(n)
	}
}

// restockLocked has a worker started in a slot that nobody has.
func (p *Primary) restockLocked(n int) {
	if s := p.slots[n]; !s.busy() && !s.unwanted && !p.ending {
		p.restartLocked(n, s.next(false, p.longestLocked()))
	}
}

// succeeded reports whether a successor of w is expected, which may want the
// listeners that w has.
func (p *Primary) succeeded(w *Worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[w.Slot]
	switch {
	case s == nil:
		return false
	case s.starting || s.due != nil:
		return true
	case s.worker == nil || s.worker == w:
		return false
	}
	return !s.worker.complete()
}

// complete reports whether it has all listeners that it wants, and lives.
func (w *Worker) complete() bool {
	w.mu.Lock()
	mute := w.mute
	w.mu.Unlock()
	select {
	case <-w.ready:
		return !mute
	default:
		return false
	}
}

// Workers are those that live, by slot; of several in one slot the one that
// others replace comes first.
func (p *Primary) Workers() []*Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Keys(p.living), func(a, b *Worker) int {
		return cmp.Or(a.Slot-b.Slot, a.ID-b.ID)
	})
}
