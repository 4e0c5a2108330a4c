package cluster

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// backoff spaces the restarts of a slot whose workers end by themselves.
type backoff struct {
	delay   time.Duration
	pending bool // a restart is due
}

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// stable is the age from which on a worker's end starts a new count.
	stable = 10 * time.Second
)

// next is the time until the restart: at once for a worker that was stable,
// then doubling, with a quarter of jitter so that slots don't restart in step.
func (b *backoff) next(age time.Duration) time.Duration {
	if age >= stable {
		b.delay = 0
		return 0
	}
	b.delay = min(max(2*b.delay, firstDelay), maxDelay)
	return b.delay + rand.N(b.delay/4)
}

// replace starts a successor for a worker that ended by itself.
func (p *Primary) replace(w *Worker, status syscall.WaitStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending || w.ExitedAfterDisconnect() {
		return
	}
	age := time.Since(w.started)
	p.ready = p.ready || age > time.Second || w.wasUseful()
	if !p.ready {
		p.failed++
		if p.failed >= max(3, p.cfg.Workers) {
			select {
			case p.failure <- fmt.Errorf("no worker stays: the last of %d ended after %v with %s",
				p.failed, age.Round(time.Millisecond), Describe(status)):
			default:
			}
			return
		}
	}
	b := p.crashes[w.Slot]
	if b == nil {
		b = &backoff{}
		p.crashes[w.Slot] = b
	}
	delay := b.next(age)
	b.pending = true
	p.log.Warn("a worker has ended and will be replaced", "worker", w.ID, "pid", w.PID,
		"status", Describe(status), "in", delay.Round(time.Millisecond))
	time.AfterFunc(delay, func() { p.restart(w.Slot, b) })
}

func (p *Primary) restart(slot int, b *backoff) {
	p.mu.Lock()
	b.pending = false
	p.mu.Unlock()
	_, err := p.fork(slot)
	if err == nil || err == errEnding || err == errTaken {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delay := b.next(0)
	b.pending = true
	p.log.Error("cannot start a worker", "slot", slot, "err", err, "again in", delay.Round(time.Millisecond))
	time.AfterFunc(delay, func() { p.restart(slot, b) })
}

// wasUseful reports whether it ever had a listener.
func (w *Worker) wasUseful() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lines) > 0
}

// Describe says in words how a process ended: "exit status 1", "signal: killed".
func Describe(status syscall.WaitStatus) string {
	switch {
	case status.Signaled() && status.CoreDump():
		return fmt.Sprintf("signal: %v (core dumped)", status.Signal())
	case status.Signaled():
		return fmt.Sprintf("signal: %v", status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
