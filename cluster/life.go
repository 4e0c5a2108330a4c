package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"onconn/sock"
)

// anySlot asks for the first slot that is free.
const anySlot = -1

// fork starts a worker in a slot.
func (p *Primary) fork(slot int, env ...string) (*Worker, error) {
	w, pidfd, err := p.enter(slot, env)
	if err != nil {
		return nil, err
	}
	p.emit(Event{Kind: Forked, Worker: w})
	go func() {
		defer p.attended.Done()
		p.attend(w, pidfd)
	}()
	return w, nil
}

func (p *Primary) enter(slot int, env []string) (*Worker, sock.FD, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return nil, sock.None, errEnding
	}
	if slot == anySlot {
		for slot = 0; p.workers[slot] != nil || p.crashes[slot] != nil && p.crashes[slot].pending; slot++ {
		}
	} else if p.workers[slot] != nil {
		return nil, sock.None, errTaken
	}
	p.lastID++
	w := &Worker{ID: p.lastID, Slot: slot, primary: p, exited: make(chan struct{})}
	pidfd, err := p.launch(w, env)
	if err != nil {
		return nil, sock.None, err
	}
	p.workers[slot] = w
	p.attended.Add(1) // before mu is given up: drain waits for all there are
	return w, pidfd, nil
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
	status := wait(w.PID, pidfd)
	asked := w.ExitedAfterDisconnect()
	w.channel.conn.SetReadDeadline(time.Now().Add(lastWords))
	err := <-said
	p.emit(Event{Kind: Disconnected, Worker: w, Err: err})
	p.remove(w, asked)
	p.emit(Event{Kind: Exited, Worker: w, Status: status})
	close(w.exited)
	p.replace(w, status, asked)
}

// listenTo handles what a worker says until its channel ends. One that lives on
// without a channel can't be told anything, so it must go.
func (p *Primary) listenTo(w *Worker) error {
	err := w.serve()
	if err != nil {
		p.log.Error("a worker broke the protocol and is killed", "worker", w.ID, "pid", w.PID, "err", err)
		w.Kill(syscall.SIGKILL)
	} else if w.State() == StateOnline {
		p.leaveAll(w, true, false)
		p.done(w)
	}
	return err
}

// leaveAll takes a worker out of all listeners.
func (p *Primary) leaveAll(w *Worker, gone, forGood bool) {
	for _, s := range p.all() {
		s.leave(w, gone, forGood)
	}
}

// remove takes a dead worker out of everything.
func (p *Primary) remove(w *Worker, forGood bool) {
	p.leaveAll(w, true, forGood)
	w.channel.close()
	w.bury()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.workers[w.Slot] == w {
		delete(p.workers, w.Slot)
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

// lastWords is how long the messages of a worker that has exited are read: a
// process that inherited its channel may hold it open for ever.
const lastWords = time.Second

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
func (p *Primary) replace(w *Worker, status syscall.WaitStatus, asked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending || asked {
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

// retire takes a worker out of all listeners and asks it to go.
func (p *Primary) retire(w *Worker) {
	w.mu.Lock()
	if w.asked || w.state == StateDead {
		w.mu.Unlock()
		return
	}
	w.asked = true
	online := w.state == StateOnline
	w.state = StateDraining
	w.mu.Unlock()
	p.leaveAll(w, false, true)
	if !online || w.channel.send(message{Op: opDisconnect}) != nil {
		w.Kill(syscall.SIGTERM)
	}
	p.running.Go(func() { p.hurry(w) })
}

// hurry ends a worker that takes longer to go than it may.
func (p *Primary) hurry(w *Worker) {
	for _, step := range []struct {
		after time.Duration
		sig   syscall.Signal
	}{{p.cfg.DrainTimeout, syscall.SIGTERM}, {killAfter, syscall.SIGKILL}} {
		select {
		case <-w.exited:
			return
		case <-time.After(step.after):
			p.log.Warn("a worker takes too long to go", "worker", w.ID, "pid", w.PID, "signal", step.sig)
			w.Kill(step.sig)
		}
	}
}

// doneGrace is how long a worker that has nothing left to do may still run.
const doneGrace = 2 * time.Second

// done: the worker has finished what it had. Its program may not know that.
func (p *Primary) done(w *Worker) {
	p.running.Go(func() {
		select {
		case <-w.exited:
		case <-time.After(doneGrace):
			w.Kill(syscall.SIGTERM)
		}
	})
}

// room: some worker can take connections again.
func (p *Primary) room() {
	for _, s := range p.all() {
		s.sharing.room()
	}
}

// emit hands an event to the goroutine that calls OnEvent.
func (p *Primary) emit(e Event) { p.events <- e }

// Shutdown drains: no new connections, those that wait are given to workers,
// and these finish what they have, within the drain timeout or until ctx is
// done: then the workers are killed. Everything is closed when it returns.
func (p *Primary) Shutdown(ctx context.Context) {
	p.shutdown.Do(func() { p.drain(ctx) })
}

func (p *Primary) drain(ctx context.Context) {
	p.mu.Lock()
	p.ending = true
	p.mu.Unlock()
	servers := p.all()
	for _, s := range servers {
		s.stop()
	}
	p.handedOver(ctx, servers)
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

// finish gives up what begin and the loop have opened.
func (p *Primary) finish() {
	p.stopLoop()
	close(p.events)
	p.running.Wait()
	p.loop.Close()
	p.bell.Close()
	p.starter.stop()
	p.null.Close()
}

// handedOver waits a little until the workers have taken what was accepted: a
// worker that is asked to go may close its listener at once.
func (p *Primary) handedOver(ctx context.Context, servers []*server) {
	end := time.After(time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int64
		for _, s := range servers {
			n += s.waiting()
		}
		if n == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}
