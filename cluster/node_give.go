package cluster

import (
	"errors"
	"net"
	"time"

	"onconn/fdpass"
	"onconn/listen"
	"onconn/sock"
)

// takeFrom makes a listener of the worker's end of its queue, of which fd stays the
// caller's.
func takeFrom(fd sock.FD, at *remoteAddr) (*listen.Listener, error) {
	dup, err := fd.Dup()
	if err != nil {
		return nil, err
	}
	ln, err := listen.Config{}.FromSources(at.netAddr(), fdpass.NewReceiver(dup))
	if err != nil {
		dup.Close()
		return nil, err
	}
	return ln, nil
}

// pump gives the worker what comes into its queue, until that is closed.
func (n *nodeWorker) pump(s *nodeSeat) {
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.pumps--
		if !n.ended {
			n.tellLocked() // who receives finds out whether the channel has failed
		}
	}()
	for {
		s.room <- struct{}{}
		n.cool()
		fd, peer, err := s.ln.AcceptFD()
		switch {
		case err == nil:
			n.give(nodeConn{s, fdpass.Record{FD: fd, Peer: peer}})
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		<-s.room
		n.primary.log.Error("cannot take a connection for a Node worker", "worker", n.worker.ID, "err", err)
		time.Sleep(retryAfter)
	}
}

// cool waits while the worker refuses connections.
func (n *nodeWorker) cool() {
	n.mu.Lock()
	wait := nodePause - time.Since(n.refusing)
	ended := n.ended
	n.mu.Unlock()
	if wait > 0 && !ended {
		time.Sleep(wait)
	}
}

// give sends the worker a connection. Its answer decides what becomes of it.
func (n *nodeWorker) give(c nodeConn) {
	n.mu.Lock()
	sent := n.awaitClearLocked()
	if sent {
		seq, err := n.NewConn(c.seat.name, c.FD)
		if err == nil {
			n.given[seq] = c
			n.sent = append(n.sent, seq)
			n.lone, n.plain = n.plain > nodeRead, 0
		} else { // it has gone, or there is no memory
			sent, n.refusing = false, time.Now()
		}
	}
	n.handLocked() // which was put off for this
	n.mu.Unlock()
	if !sent {
		n.takeBack(c)
	}
}

// awaitClearLocked waits until an envelope may be sent; false: it takes too long.
func (n *nodeWorker) awaitClearLocked() bool {
	if n.ended {
		return false
	}
	if !n.pinged && !n.lone {
		return true
	}
	late := false
	stop := time.AfterFunc(stealAfter, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		late = true
		n.clear.Broadcast()
	})
	defer stop.Stop()
	n.waiting++
	for (n.pinged || n.lone) && !late && !n.ended {
		n.clear.Wait()
	}
	n.waiting--
	return !n.pinged && !n.lone && !n.ended
}

// shareLocked sends a listening socket, as soon as no ping is on its way, which would
// get the descriptor, and nothing that has to be the only one. fd stays the caller's.
func (n *nodeWorker) shareLocked(send func(sock.FD) error, fd sock.FD) error {
	if !n.pinged && !n.lone {
		n.sent = append(n.sent, sentSocket)
		return send(fd)
	}
	dup, err := fd.Dup()
	if err != nil {
		return err
	}
	n.later = append(n.later, func(now bool) error {
		defer dup.Close()
		if !now {
			return nil
		}
		n.sent = append(n.sent, sentSocket)
		return send(dup)
	})
	return nil
}

// laterLocked sends what has waited, or gives it up.
func (n *nodeWorker) laterLocked(send bool) {
	for _, f := range n.later {
		f(send) // a channel that has failed is found out by who receives
	}
	n.later = nil
}

// acknowledged is the worker's word on the oldest envelope. A connection whose
// descriptor it had no number for goes to others.
func (n *nodeWorker) acknowledged(came bool) error {
	n.mu.Lock()
	if len(n.sent) == 0 {
		n.mu.Unlock()
		return errNodeAck
	}
	seq := n.sent[0]
	n.sent = n.sent[1:]
	if seq == sentHandle {
		n.complain(n.HandleAnswered(came))
	}
	if len(n.sent) == 0 {
		n.pinged, n.lone = false, false
		n.clear.Broadcast()
		n.laterLocked(true)
		if n.waiting == 0 { // else a connection's turn is first
			n.handLocked()
		}
	}
	if seq == sentHandle {
		n.tellLocked()
	}
	c, conn := n.given[seq]
	lost := conn && !came
	if lost {
		delete(n.given, seq)
	}
	news := lost && time.Since(n.starved) > time.Second
	if lost {
		n.refusing, n.starved = time.Now(), time.Now()
	}
	n.mu.Unlock()
	if news {
		n.primary.log.Warn("a Node worker has no descriptors left, and others get its connections", "worker", n.worker.ID, "pid", n.worker.PID)
	}
	switch {
	case lost:
		n.takeBack(c)
	case seq == sentSocket && !came:
		return errors.New("it has no descriptor for its listening socket")
	}
	return nil
}

// answered is the worker's word on a connection.
func (n *nodeWorker) answered(seq uint64, accepted bool) error {
	n.mu.Lock()
	c, ok := n.given[seq]
	delete(n.given, seq)
	if !accepted {
		n.refusing = time.Now()
	}
	n.mu.Unlock()
	switch {
	case !ok:
		return errors.New("it answers what it was not asked")
	case !accepted:
		n.takeBack(c)
		return nil
	}
	c.FD.Close()
	n.worker.board.line(c.seat.line).Accepted.Add(1)
	<-c.seat.room
	return nil
}

// takeBack gives a connection to somebody else that this worker has not taken.
func (n *nodeWorker) takeBack(c nodeConn) {
	n.primary.giveAgain(n.worker, c.seat.key, c.Record)
	<-c.seat.room
}

// end stops giving, and takes back what was not answered.
func (n *nodeWorker) end() {
	n.mu.Lock()
	n.ended = true
	var rest []nodeConn
	for seq, c := range n.given {
		rest = append(rest, c)
		delete(n.given, seq)
	}
	for name, s := range n.seats {
		delete(n.seats, name)
		n.stopLocked(s)
	}
	n.laterLocked(false)
	n.clear.Broadcast()
	n.mu.Unlock()
	for _, c := range rest {
		n.takeBack(c)
	}
}

// giveAgain finds a worker for a connection that w was given and has not taken.
func (p *Primary) giveAgain(w *Worker, k key, r fdpass.Record) {
	p.mu.Lock()
	s := p.servers[k]
	p.mu.Unlock()
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if rr, ok := s.sharing.(*roundRobin); ok && !s.shut {
			rr.again(w, r)
			return
		}
	}
	r.FD.Close() // nobody wants the listener any more
}

// again places a connection that a worker was given and has not taken.
func (d *dispatcher) again(w *Worker, r fdpass.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		if s.worker == w {
			s.sent--
		}
	}
	if len(d.hand) > 0 || !d.place(r) {
		d.hand = append(d.hand, r)
		d.pause()
	}
}
