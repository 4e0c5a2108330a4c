package cluster

import (
	"context"
	"syscall"
	"time"
)

// fork starts a worker in a slot.
func (p *Primary) fork(slot int, env ...string) (*Worker, error) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	w, err := p.start(slot, nil, env)
	if err == nil && !p.settle(w) {
		p.vacate(w.Slot, true)
	}
	return w, err
}

// startWorker starts a worker in a slot, in the place of the one before it, if
// any. It has not got the slot yet: see settle and vacate. Where it can't be
// started the slot is as it was, but for a restart that was due.
func (p *Primary) startWorker(slot int, before *Worker) (*Worker, error) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	return p.start(slot, before, nil)
}

func (p *Primary) start(slot int, before *Worker, env []string) (*Worker, error) {
	w, err := p.reserve(slot, before)
	if err != nil {
		return nil, err
	}
	if err := p.launch(w, env); err != nil {
		p.vacate(w.Slot, false)
		p.attended.Done()
		return nil, err
	}
	p.emit(Event{Kind: Forked, Worker: w})
	ending := p.enter(w)
	p.follow(w)
	if ending { // Shutdown doesn't know of it
		p.retire(w)
	}
	return w, nil
}

// follow attends to a worker from now on.
func (p *Primary) follow(w *Worker) {
	go func() {
		defer p.attended.Done()
		p.attend(w)
	}()
	p.running.Go(func() { p.awaitReady(w) })
}

// attend follows a worker until it is dead and buried.
func (p *Primary) attend(w *Worker) {
	said := make(chan error, 1)
	go func() { said <- p.listenTo(w) }()
	awaitExit(w.PID, w.pidfd)
	w.killRest()
	w.channel.exited()
	err := <-said
	w.stderr.rest()
	p.gate.RLock()
	defer p.gate.RUnlock()
	status := w.reap()
	looping := p.replace(w, status) // first, or a listener might seem to be wanted by nobody
	p.remove(w, w.ExitedAfterDisconnect())
	p.emit(Event{Kind: Disconnected, Worker: w, Err: err})
	p.emit(Event{Kind: Exited, Worker: w, Status: status, Stderr: w.stderr.tail()})
	if looping != nil {
		p.emit(*looping)
	}
	close(w.exited)
}

// lastWords is how long the messages of a worker that has exited are read: a
// process that inherited its channel may hold it open for ever.
const lastWords = time.Second

// listenTo handles what a worker says until its channel ends. One that lives on
// without a channel can't be told anything, so it must go.
func (p *Primary) listenTo(w *Worker) error {
	err := w.serve()
	if err != nil {
		p.log.Error("a worker broke the protocol and is killed", "worker", w.ID, "pid", w.PID, "err", err)
		w.Kill(syscall.SIGKILL)
	} else if w.State() == StateOnline {
		p.gate.RLock()
		defer p.gate.RUnlock()
		w.mu.Lock()
		w.mute = true
		w.mu.Unlock()
		p.leaveAll(w, true, false)
		p.running.Go(func() { p.hurry(w, doneGrace) })
	}
	return err
}

// leaveAll takes a worker out of all listeners.
func (p *Primary) leaveAll(w *Worker, gone, forGood bool) {
	for _, s := range p.all() {
		s.leave(w, gone, forGood)
		if forGood {
			p.tidy(s)
		}
	}
}

// remove takes a dead worker out of everything.
func (p *Primary) remove(w *Worker, forGood bool) {
	p.leaveAll(w, true, forGood)
	w.bury()
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.ExitedAfterDisconnect() {
		p.slots[w.Slot].closing = false
	}
}

// all are the servers that are open.
func (p *Primary) all() (all []*server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		all = append(all, s)
	}
	return all
}

// room: some worker can take connections again.
func (p *Primary) room() {
	for _, s := range p.all() {
		s.sharing.room()
	}
}

// emit hands an event to the goroutine that calls OnEvent.
func (p *Primary) emit(e Event) { p.events.push(e) }

// retire takes a worker out of all listeners and asks it to go. It has no slot any
// more.
func (p *Primary) retire(w *Worker) {
	online, first := w.ask()
	if !first {
		return
	}
	p.mu.Lock()
	if s := p.slots[w.Slot]; s.worker == w {
		s.worker = nil
	}
	p.mu.Unlock()
	if !online && p.quietOne(w) {
		return
	}
	p.leaveAll(w, false, true)
	if !online || w.channel.send(message{Op: opDisconnect}) != nil {
		w.Kill(syscall.SIGTERM)
	}
	p.running.Go(func() { p.hurry(w, p.drainTime()) })
}

// quietOne asks a program to go that knows only LISTEN_FDS, and has a socket of its
// own that nobody takes over: when nothing more comes there, since what waits is
// its alone to accept. It reports whether it is such a one.
func (p *Primary) quietOne(w *Worker) bool {
	if w.hasSpoken() || p.successor(w) {
		return false
	}
	var waits []func(context.Context) error
	for _, s := range p.kept {
		if wait := s.quiet(w.Slot); wait != nil {
			waits = append(waits, wait)
		}
	}
	if len(waits) == 0 {
		return false
	}
	p.mu.Lock()
	p.slots[w.Slot].closing = true
	p.mu.Unlock()
	p.running.Go(func() {
		for _, wait := range waits {
			if err := wait(p.life); err != nil && p.life.Err() == nil {
				p.log.Warn("what waits for a program that goes may be lost", "worker", w.ID, "pid", w.PID, "err", err)
			}
		}
		w.Kill(syscall.SIGTERM)
		p.hurry(w, p.drainTime())
	})
	return true
}

// successor reports whether another worker is in the slot.
func (p *Primary) successor(w *Worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots[w.Slot].worker != nil
}

// ask notes that the worker is asked to go: whether it can be told so, and
// whether this is the first time.
func (w *Worker) ask() (online, first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked || w.state == StateDead {
		return false, false
	}
	online = w.state == StateOnline
	w.asked, w.state = true, StateDraining
	return online, true
}

// hurry ends a worker that takes longer to go than it may.
func (p *Primary) hurry(w *Worker, after time.Duration) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-w.exited:
			return
		case <-time.After(after):
			p.log.Warn("a worker takes too long to go", "worker", w.ID, "pid", w.PID, "signal", sig)
			w.Kill(sig)
		}
		after = killAfter
	}
}

// doneGrace is how long a worker that has nothing left to do may still run.
const doneGrace = 2 * time.Second

// finished: the worker has nothing left. Its program may not know that.
func (p *Primary) finished(w *Worker) {
	w.mu.Lock()
	again := w.idle
	w.idle = true
	w.mu.Unlock()
	if !again {
		p.running.Go(func() { p.hurry(w, doneGrace) })
	}
}
