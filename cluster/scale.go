package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Scale changes the number of workers to n, at least 1. New ones are waited for
// until they are ready; if one never is, those that are stay, and Scale returns an
// error. Of too many those in the highest slots are disconnected, and what they
// have not taken goes to others. Scale doesn't wait for their end.
func (p *Primary) Scale(ctx context.Context, n int) error {
	if n < 1 {
		return errors.New("cluster: scale: it takes at least 1 worker")
	}
	ctx, end, err := p.operate(ctx, "scale")
	if err != nil {
		return err
	}
	defer end()
	p.mu.Lock()
	used := p.usedLocked()
	p.mu.Unlock()
	if n >= len(used) {
		return p.grow(ctx, n-len(used))
	}
	p.shrink(used[n:])
	return nil
}

func (p *Primary) grow(ctx context.Context, more int) (err error) {
	var fresh []*Worker
	for range more {
		w, e := p.startWorker(anySlot, nil)
		if e != nil {
			err = e
			break
		}
		fresh = append(fresh, w)
	}
	ready := 0
	for _, w := range fresh {
		if e := p.install(ctx, w, false); e != nil {
			err = errors.Join(err, e)
			continue
		}
		ready++
	}
	if err != nil {
		return fmt.Errorf("cluster: scale: %d of %d new workers are ready: %w", ready, more, err)
	}
	return nil
}

// shrink has nobody in these slots any more, whatever happens there just now.
func (p *Primary) shrink(slots []int) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	var leaving []*Worker
	var vacant []int
	p.mu.Lock()
	for _, n := range slices.Backward(slots) {
		s := p.slots[n]
		s.unwanted = true
		if s.due != nil {
			s.due.Stop()
			s.due = nil
			vacant = append(vacant, n)
		}
		if s.worker != nil {
			leaving = append(leaving, s.worker)
		}
	}
	p.mu.Unlock()
	for _, w := range leaving {
		p.retire(w)
	}
	if len(vacant) == 0 {
		return
	}
	for _, s := range p.all() { // nobody leaves there
		s.forget(vacant)
		p.tidy(s)
	}
}
