package cluster

import (
	"context"
	"fmt"
	"time"
)

// operate begins an operation, of which only one runs at a time. The context ends
// with ctx, or when the cluster is shut down.
func (p *Primary) operate(ctx context.Context, what string) (_ context.Context, end func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.started:
		return nil, nil, errNotStarted
	case p.ending:
		return nil, nil, errEnding
	case p.doing != "":
		return nil, nil, fmt.Errorf("%w (%s)", ErrBusy, p.doing)
	}
	p.doing = what
	p.running.Add(1) // Shutdown waits for it
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.life, func() { cancel(errEnding) })
	return ctx, func() {
		stop()
		cancel(nil)
		p.mu.Lock()
		p.doing = ""
		p.mu.Unlock()
		p.running.Done()
	}, nil
}

// Reload replaces the workers by new ones, slot by slot, and loses no connection.
// The new worker has to be ready first; then the old one gets no more connections,
// what it has not taken goes to others, and it may finish the rest within the
// drain timeout. Reload returns when the last one is asked to go.
//
// If a new worker ends before it is ready, or isn't within ReadyTimeout, Reload
// ends it and returns an error: workers that were not replaced stay. A worker
// that waits for its restart after crashes is started at once.
func (p *Primary) Reload(ctx context.Context) error {
	ctx, end, err := p.operate(ctx, "reload")
	if err != nil {
		return err
	}
	defer end()
	p.mu.Lock()
	used := p.usedLocked()
	p.mu.Unlock()
	for i, n := range used {
		if err := p.renew(ctx, n); err != nil {
			return fmt.Errorf("cluster: reload: %d of %d workers are new, slot %d: %w", i, len(used), n, err)
		}
	}
	return nil
}

// renew gives a slot a new worker.
func (p *Primary) renew(ctx context.Context, n int) error {
	var w, old *Worker
	var err error
	for try := 0; ; try++ {
		p.mu.Lock()
		s := p.slots[n]
		old = s.worker
		used := s.used()
		p.mu.Unlock()
		if !used {
			return nil // its worker was disconnected meanwhile
		}
		w, err = p.startWorker(n, old)
		if err != errTaken || try == 100 {
			break
		}
		time.Sleep(10 * time.Millisecond) // a restart is under way
	}
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.restockLocked(n)
		return err
	}
	if err := p.install(ctx, w, true); err != nil {
		return err
	}
	if old != nil {
		p.retire(old)
	}
	return nil
}

// install gives its slot to a worker when it is ready. If it never is, it goes,
// and who had the slot keeps it; with nobody left there, again says whether to
// start one.
func (p *Primary) install(ctx context.Context, w *Worker, again bool) error {
	late := time.NewTimer(p.cfg.ReadyTimeout)
	defer late.Stop()
	var err error
	select {
	case <-w.ready:
		if p.settle(w) {
			return nil
		}
		<-w.exited
		err = w.ended()
	case <-w.exited:
		err = w.ended()
	case <-late.C:
		err = fmt.Errorf("the new worker, process %d, is not ready after %v%s", w.PID, p.cfg.ReadyTimeout, w.wrote())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.gate.RLock()
	defer p.gate.RUnlock()
	p.retire(w)
	p.vacate(w.Slot, again)
	return err
}

// ended says how a worker ended that was not ready.
func (w *Worker) ended() error {
	return fmt.Errorf("the new worker, process %d, ended with %s before it was ready%s", w.PID, Describe(w.exitStatus()), w.wrote())
}

// wrote is what it wrote to its standard error, for the end of a sentence.
func (w *Worker) wrote() string {
	if last := w.stderr.tail(); last != "" {
		return "; it wrote:\n" + last
	}
	return ""
}
