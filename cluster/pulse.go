package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// A pulse is what the primary knows of a worker's health. It is pinged twice in
// each HangAfter and answers on the scoreboard, which costs it no message.
type pulse struct {
	asked    time.Time // when it was last pinged
	unsent   bool      // its channel was full
	answer   int64     // the answer before that
	taken    int64     // connections, by then
	hung     int       // listeners of which it takes nothing
	since    time.Time // since when some are
	reported bool
}

// monotonic is CLOCK_MONOTONIC in nanoseconds: the same in all processes.
func monotonic() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// beat pings the workers until stop is closed.
func (p *Primary) beat(stop <-chan struct{}) {
	tick := time.NewTicker(p.cfg.HangAfter / 2)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for _, w := range p.Workers() {
			p.gate.RLock()
			p.feel(w, time.Now())
			p.gate.RUnlock()
		}
	}
}

// feel takes a worker's pulse.
func (p *Primary) feel(w *Worker, now time.Time) {
	if !w.talks() {
		return
	}
	since := w.silent(now)
	stuck := !since.IsZero() && now.Sub(since) >= p.cfg.HangAfter
	w.mu.Lock()
	before := w.pulse.reported
	w.pulse.reported = stuck
	w.mu.Unlock()
	switch {
	case stuck && !before:
		p.log.Warn("a worker hangs", "worker", w.ID, "pid", w.PID, "since", since.Format(time.TimeOnly))
		p.emit(Event{Kind: Hung, Worker: w})
	case before && !stuck:
		p.log.Info("a worker that hung takes connections again", "worker", w.ID, "pid", w.PID)
		p.emit(Event{Kind: Woke, Worker: w})
	}
	if stuck && p.cfg.KillHung > 0 && now.Sub(since) >= p.cfg.KillHung {
		p.log.Error("a worker hangs for too long and is killed", "worker", w.ID, "pid", w.PID)
		w.Kill(unix.SIGKILL)
	}
}

// talks reports whether it is a worker that answers pings, and is not asked to go.
func (w *Worker) talks() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state == StateOnline && w.spoken
}

// silent is since when the worker gives no sign of life, or takes nothing of what
// waits for it; zero: it is well. If it has answered the last ping it gets
// another one.
func (w *Worker) silent(now time.Time) (since time.Time) {
	well := w.ping(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !well {
		since = w.pulse.asked
	}
	if w.pulse.hung > 0 && (since.IsZero() || w.pulse.since.Before(since)) {
		since = w.pulse.since
	}
	return since
}

// ping pings the worker unless it has yet to answer the last one, and reports
// whether it was well by then.
func (w *Worker) ping(now time.Time) (well bool) {
	w.mu.Lock()
	if w.state == StateDead {
		w.mu.Unlock()
		return false
	}
	p := &w.pulse
	answer, taken := w.board.header().alive.Load(), w.stats().Accepted
	open := !p.asked.IsZero() && answer == p.answer
	well = !open || taken != p.taken // or it takes connections, and is deaf
	send := !open || p.unsent
	if well {
		p.asked, p.answer, p.taken = now, answer, taken
	}
	w.mu.Unlock()
	if send {
		unsent := w.channel.trySend(message{Op: opPing}) != nil
		w.mu.Lock()
		p.unsent = unsent
		w.mu.Unlock()
	}
	return well
}

// hangs counts the listeners of which the worker takes nothing.
func (w *Worker) hangs(change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pulse.hung == 0 {
		w.pulse.since = time.Now()
	}
	w.pulse.hung += change
}

// lastAlive is when it last answered; zero if it never did.
func (w *Worker) lastAliveLocked() time.Time {
	alive := w.board.header().alive.Load()
	if alive == 0 {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(monotonic() - alive))
}
