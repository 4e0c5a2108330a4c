package cluster

import (
	"syscall"
	"time"

	"onconn/sock"
)

// anySlot asks for the first slot that is free.
const anySlot = -1

// fork starts a worker in a slot.
func (p *Primary) fork(slot int, env ...string) (*Worker, error) {
	w, err := p.reserve(slot)
	if err != nil {
		return nil, err
	}
	pidfd, err := p.launch(w, env)
	if err != nil {
		p.release(w)
		return nil, err
	}
	p.emit(Event{Kind: Forked, Worker: w})
	go func() {
		defer p.attended.Done()
		p.attend(w, pidfd)
	}()
	if p.enter(w) { // Shutdown doesn't know of it
		p.retire(w)
	}
	return w, nil
}

// reserve takes a slot for a worker that is to be started. Shutdown waits for it
// from then on.
func (p *Primary) reserve(slot int) (*Worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.started:
		return nil, errNotStarted
	case p.ending:
		return nil, errEnding
	case slot == anySlot:
		for slot = 0; p.taken[slot] || p.crashes[slot] != nil && p.crashes[slot].pending; slot++ {
		}
	case p.taken[slot]:
		return nil, errTaken
	}
	p.taken[slot] = true
	p.attended.Add(1)
	p.lastID++
	return &Worker{ID: p.lastID, Slot: slot, primary: p, exited: make(chan struct{})}, nil
}

// release undoes reserve.
func (p *Primary) release(w *Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, w.Slot)
	p.attended.Done()
}

// enter makes it one of the workers, and reports whether these are asked to go.
func (p *Primary) enter(w *Worker) (ending bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.State() != StateDead {
		p.workers[w.Slot] = w
	}
	return p.ending
}

// launch starts the process of w, whose first message already waits for it.
func (p *Primary) launch(w *Worker, env []string) (pidfd sock.FD, err error) {
	cmd, err := p.command(w.ID, w.Slot, env)
	if err != nil {
		return sock.None, err
	}
	ours, theirs, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		return sock.None, err
	}
	defer theirs.Close()
	if w.channel, err = newChannel(ours); err != nil {
		return sock.None, err
	}
	b, memory, err := newBoard()
	if err != nil {
		w.channel.close()
		return sock.None, err
	}
	defer memory.Close()
	w.board = b
	hello := message{Op: opHello, Version: protocolVersion, ID: w.ID, Drain: p.cfg.DrainTimeout}
	if err = w.channel.send(hello, memory, p.bell); err == nil {
		w.started = time.Now()
		w.PID, pidfd, err = p.starter.start(cmd, theirs)
	}
	if err != nil {
		w.channel.close()
		w.board.close()
		return sock.None, err
	}
	return pidfd, nil
}

// attend follows a worker until it is dead and buried.
func (p *Primary) attend(w *Worker, pidfd sock.FD) {
	said := make(chan error, 1)
	go func() { said <- p.listenTo(w) }()
	awaitExit(w.PID, pidfd)
	status := w.reap()
	w.channel.conn.SetReadDeadline(time.Now().Add(lastWords))
	err := <-said
	p.remove(w, w.ExitedAfterDisconnect())
	p.emit(Event{Kind: Disconnected, Worker: w, Err: err})
	p.emit(Event{Kind: Exited, Worker: w, Status: status})
	close(w.exited)
	p.replace(w, status)
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
	w.channel.close()
	w.bury()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.workers, w.Slot)
	delete(p.taken, w.Slot)
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

// retire takes a worker out of all listeners and asks it to go.
func (p *Primary) retire(w *Worker) {
	online, first := w.ask()
	if !first {
		return
	}
	p.leaveAll(w, false, true)
	if !online || w.channel.send(message{Op: opDisconnect}) != nil {
		w.Kill(syscall.SIGTERM)
	}
	p.running.Go(func() { p.hurry(w, p.drainTime()) })
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
