package cluster

import (
	"syscall"
	"time"
)

// aliveFor is after how long a program that can't tell is taken for ready.
const aliveFor = time.Second

// awaitReady tells when a worker takes connections.
func (p *Primary) awaitReady(w *Worker) {
	select {
	case <-w.ready: // under the primary before
		return
	default:
	}
	wait := 2 * time.Millisecond
	for !p.isReady(w) {
		select {
		case <-w.exited:
			return
		case <-time.After(wait):
			wait = min(wait+wait/8, 100*time.Millisecond)
		}
		if w.State() >= StateDraining {
			return
		}
	}
	p.gate.RLock()
	defer p.gate.RUnlock()
	close(w.ready)
	p.emit(Event{Kind: Ready, Worker: w})
}

// isReady reports whether w is inside of Accept on all listeners that it has, and
// has all that the worker had in whose place it comes.
func (p *Primary) isReady(w *Worker) bool {
	w.mu.Lock()
	state, spoken, said := w.state, w.spoken, w.said
	w.mu.Unlock()
	old := w.before
	switch {
	case state >= StateDraining:
		return false
	case !spoken && p.notify != nil:
		return said
	case !spoken:
		simple := p.cfg.Mode != RoundRobin && len(p.kept) > 0 && (old == nil || !old.hasSpoken())
		return simple && time.Since(w.started) >= aliveFor
	}
	listeners := 0
	for _, s := range p.all() {
		has, waits := s.waitsIn(w)
		if has && !waits || !has && old != nil && s.has(old) {
			return false
		}
		if has {
			listeners++
		}
	}
	return listeners > 0 || len(p.kept) == 0 && time.Since(w.started) >= aliveFor // one that only works
}

// waitsIn reports whether the worker has the listener, and whether it has called
// Accept.
func (s *server) waitsIn(w *Worker) (has, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, has := s.seated[w]
	if !has {
		return false, false
	}
	l := w.board.line(n)
	return true, l.waiting.Load() > 0 || l.Accepted.Load() > 0
}

func (s *server) has(w *Worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, has := s.seated[w]
	return has
}

// heed hears what programs say that know only LISTEN_FDS.
func (p *Primary) heed() {
	for {
		pid, fields, err := p.notify.Receive()
		if err != nil {
			return
		}
		if fields["READY"] != "1" {
			continue
		}
		for _, w := range p.Workers() {
			if group, err := syscall.Getpgid(pid); w.PID == pid || err == nil && w.PID == group {
				w.mu.Lock()
				w.said = true
				w.mu.Unlock()
			}
		}
	}
}
