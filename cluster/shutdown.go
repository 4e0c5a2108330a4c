package cluster

import (
	"context"
	"syscall"
	"time"
)

// Shutdown drains: no new connections, those that wait are given to workers,
// and these finish what they have, within the drain timeout or until ctx is
// done: then the workers are killed. Everything is closed when it returns. It
// must not be called from OnEvent, which it waits for.
func (p *Primary) Shutdown(ctx context.Context) {
	p.shutdown.Do(func() { p.drain(ctx) })
}

func (p *Primary) drain(ctx context.Context) {
	p.gate.RLock() // an upgrade comes first, or not at all
	p.mu.Lock()
	started := p.started
	p.ending = true
	p.deadline = time.Now().Add(p.cfg.DrainTimeout)
	p.mu.Unlock()
	p.gate.RUnlock()
	p.endLife()
	if !started {
		return
	}
	servers := p.all()
	for _, s := range servers {
		s.stop()
	}
	p.handOver(ctx, servers)
	workers := p.Workers()
	for _, w := range workers {
		p.retire(w)
	}
	for _, w := range workers {
		select {
		case <-w.exited:
		case <-ctx.Done():
			w.Kill(syscall.SIGKILL)
			<-w.exited
		}
	}
	p.attended.Wait()
	for _, s := range servers {
		s.close()
	}
	p.finish()
}

// drainTime is how long a worker that is asked to go now may take.
func (p *Primary) drainTime() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return max(time.Until(p.deadline), 0)
	}
	return p.cfg.DrainTimeout
}

// finishTime is how long a program may take to accept what waits, if nothing
// keeps it from that but itself.
const finishTime = time.Second

// handOver waits until the workers have taken what was accepted for them: one
// that is asked to go may close its listener at once. With a limit of their
// connections they may have to finish others first.
func (p *Primary) handOver(ctx context.Context, servers []*server) {
	limit := min(finishTime, p.cfg.DrainTimeout)
	if p.cfg.MaxConns > 0 {
		limit = p.cfg.DrainTimeout
	}
	late := time.After(limit)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for waiting(servers) > 0 {
		select {
		case <-look.C:
		case <-late:
			return
		case <-ctx.Done():
			return
		}
	}
}

// waiting is how many accepted connections no worker has taken.
func waiting(servers []*server) (n int64) {
	for _, s := range servers {
		n += s.waiting()
	}
	return n
}

// finish gives up what begin has opened.
func (p *Primary) finish() {
	p.stopLoop()
	close(p.stopBeat)
	if p.notify != nil {
		p.notify.Close()
	}
	p.events.close()
	p.running.Wait()
	p.mu.Lock()
	for r := range p.relays { // of processes that outlived their worker
		r.close()
	}
	p.mu.Unlock()
	p.starter.stop()
	p.giveUp()
}
