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
	closing  bool        // its socket is
	due      *time.Timer // a restart
	delay    time.Duration
	crashes  int // in a row
	restarts int // workers that were started after others
}

// used reports whether the slot has a worker, or will have one.
func (s *slot) used() bool { return s.worker != nil || s.starting || s.due != nil }

// slotLocked is slot n, made when it is first asked for.
func (p *Primary) slotLocked(n int) *slot {
	if p.slots[n] == nil {
		p.slots[n] = &slot{}
	}
	return p.slots[n]
}

func (p *Primary) freeSlotLocked() (n int) {
	for p.slots[n] != nil && (p.slots[n].used() || p.slots[n].closing) {
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
	s.starting = true
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

// settle gives its slot to a worker, and reports whether it lives.
func (p *Primary) settle(w *Worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.living[w] {
		return false
	}
	s := p.slots[w.Slot]
	s.starting, s.worker = false, w
	return true
}

// vacate ends the starting of a worker that came to nothing. again: if nobody has
// the slot, another one is started.
func (p *Primary) vacate(n int, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[n]
	s.starting = false
	if again && s.worker == nil && s.due == nil && !p.ending {
		p.restartLocked(n, s.next(false, p.longestLocked()))
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
