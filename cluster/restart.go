package cluster

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// maxDelayAlone is the longest delay where no worker is left.
	maxDelayAlone = time.Second
	// looping is from how many deaths in a row on they are called a crash loop.
	looping = 3
)

// next is the time until the restart after a worker that was stable or not: at
// once if it was, then doubling up to most, with a quarter of jitter so that
// slots don't restart in step.
func (s *slot) next(stable bool, most time.Duration) time.Duration {
	if stable {
		s.delay, s.crashes = 0, 0
		return 0
	}
	s.crashes++
	s.delay = min(max(2*s.delay, firstDelay), maxDelay)
	delay := min(s.delay, most)
	return delay + rand.N(delay/4)
}

// replace takes a dead worker out of its slot, and has a successor started if it
// ended by itself. The result is an event to tell of, or nil.
func (p *Primary) replace(w *Worker, status syscall.WaitStatus) *Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[w.Slot]
	if s.worker == w {
		s.worker = nil
	}
	delete(p.living, w)
	if p.ending || w.ExitedAfterDisconnect() || s.starting || s.worker != nil || s.unwanted {
		return nil
	}
	age := time.Since(w.started)
	p.ready = p.ready || age > time.Second || w.wasUseful()
	if !p.ready && p.giveUpLocked(w, age, status) {
		return nil
	}
	delay := s.next(age >= p.cfg.StableAfter, p.longestLocked())
	p.log.Warn("a worker has ended and will be replaced", "worker", w.ID, "pid", w.PID,
		"status", Describe(status), "in", delay.Round(time.Millisecond))
	p.restartLocked(w.Slot, delay)
	if s.crashes < looping {
		return nil
	}
	p.log.Error("workers of a slot end again and again", "slot", w.Slot, "times", s.crashes,
		"status", Describe(status), "stderr", w.stderr.tail())
	return &Event{Kind: CrashLoop, Worker: w, Status: status, Stderr: w.stderr.tail(), Crashes: s.crashes}
}

// giveUpLocked counts workers that ended before any was of use, and reports
// whether there were too many.
func (p *Primary) giveUpLocked(w *Worker, age time.Duration, status syscall.WaitStatus) bool {
	p.failed++
	if p.failed < max(3, p.cfg.Workers) {
		return false
	}
	select {
	case p.failure <- fmt.Errorf("no worker stays: the last of %d ended after %v with %s%s",
		p.failed, age.Round(time.Millisecond), Describe(status), w.wrote()):
	default:
	}
	return true
}

// longestLocked is how long a restart may be put off: with nobody left, clients
// wait for it.
func (p *Primary) longestLocked() time.Duration {
	for w := range p.living {
		if w.State() < StateDraining {
			return maxDelay
		}
	}
	return maxDelayAlone
}

// restartLocked starts a worker in a slot when the delay is over.
func (p *Primary) restartLocked(n int, delay time.Duration) {
	s := p.slots[n]
	var due *time.Timer
	due = time.AfterFunc(delay, func() {
		p.mu.Lock()
		mine := s.due == due // else somebody was faster
		p.mu.Unlock()
		if mine {
			p.restart(n)
		}
	})
	s.due = due
}

// restart starts a worker in a slot whose last one has ended.
func (p *Primary) restart(n int) {
	_, err := p.fork(n)
	if err == errEnding || err == errTaken {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[n]
	if err == nil {
		s.restarts++
		return
	}
	delay := s.next(false, p.longestLocked())
	p.log.Error("cannot start a worker", "slot", n, "err", err, "again in", delay.Round(time.Millisecond))
	p.restartLocked(n, delay)
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
