package cluster

import (
	"maps"
	"slices"

	"onconn/fdpass"
	"onconn/reuseport"
	"onconn/sock"
)

// image is the server's; its lock is held.
func (s *server) image() serverImage {
	i := serverImage{Key: s.key, Mode: s.mode, Config: s.cfg, Keep: s.keep, Slots: slices.Sorted(maps.Keys(s.slots))}
	s.sharing.image(&i)
	for n := range i.Seats {
		for w, line := range s.seated {
			if w.ID == i.Seats[n].Worker {
				i.Seats[n].Line = line
			}
		}
	}
	return i
}

func (s *sharedSocket) image(i *serverImage) {
	i.Past = s.past
	for w := range s.lines {
		i.Seats = append(i.Seats, seatImage{Worker: w.ID})
	}
	i.Given = s.given
}

func (s *sharedSocket) revive(w *Worker, l *line, _ seatImage) error {
	s.lines[w] = l
	return nil
}

func (s *sharedSocket) inherit(i serverImage, _ map[int]*Worker) error {
	s.past, s.given = i.Past, i.Given
	s.watch()
	return nil
}

func (d *dispatcher) image(i *serverImage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		i.Seats = append(i.Seats, seatImage{
			Worker: s.worker.ID, Sent: s.sent, Limit: s.limit, Queue: imageOf(s.queue, s.worker, false),
		})
	}
	for _, l := range d.left {
		i.Left = append(i.Left, *imageOf(l.queue, l.worker, l.gone))
	}
	for _, r := range d.hand {
		i.Hand = append(i.Hand, handImage{r.FD, r.Peer.Wire()})
	}
}

func imageOf(q *fdpass.Queue, w *Worker, gone bool) *queueImage {
	return &queueImage{Worker: w.ID, Gone: gone, Send: q.SendEnd(), Receive: q.ReceiveEnd()}
}

func (d *dispatcher) revive(w *Worker, l *line, i seatImage) error {
	q, err := fdpass.OwnQueue(i.Queue.Send, i.Queue.Receive)
	if err != nil {
		return err
	}
	l.missed.Store(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enter(&seat{worker: w, queue: q, line: l, limit: i.Limit, sent: i.Sent})
	return nil
}

func (d *dispatcher) inherit(i serverImage, workers map[int]*Worker) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range i.Left {
		q, err := fdpass.OwnQueue(l.Send, l.Receive)
		if err != nil {
			return err
		}
		w := workers[l.Worker]
		if w == nil { // it is dead and buried
			w = newWorker(nil, l.Worker, 0)
		}
		d.left = append(d.left, &leaver{worker: w, queue: q, gone: l.Gone || workers[l.Worker] == nil})
	}
	for _, h := range i.Hand {
		d.hand = append(d.hand, fdpass.Record{FD: h.FD, Peer: sock.AddrFromWire(h.Peer)})
	}
	d.refill()
	d.watch()
	return nil
}

func (g *reusePort) image(i *serverImage) {
	g.dispatcher.image(i)
	i.Ordered = g.ordered
	for w := range g.holders {
		i.Holders = append(i.Holders, w.ID)
	}
	for _, m := range g.group.Members() {
		n := memberImage{ID: m.ID, FD: m.Descriptor(), Leaving: true}
		for slot, own := range g.members {
			if own.Member == m {
				n.Slot, n.Leaving, n.Given = slot, false, own.given
			}
		}
		i.Members = append(i.Members, n)
	}
}

// reviveMembers makes the group of an image's sockets.
func (g *reusePort) reviveMembers(gc reuseport.Config, before serverImage) error {
	if !before.Ordered && gc.Steering != nil && !knowsSockets(gc.Steering) { // as in inheritSockets
		closeSteering(gc.Steering)
		gc.Steering = nil
	}
	var sockets []reuseport.Socket
	for _, m := range before.Members {
		sockets = append(sockets, reuseport.Socket{ID: m.ID, FD: m.FD})
	}
	gc.Listener.AsIs = true // programs that accept in blocking mode have them
	var err error
	if g.group, err = gc.Restore(sockets...); err != nil {
		return err
	}
	for _, i := range before.Members {
		m := g.group.Member(i.ID)
		switch {
		case i.Leaving:
			g.leaving[m] = true
		case i.Given: // settle accepts from it if nobody does
			if err := g.enter(i.Slot, m); err != nil {
				return err
			}
			g.members[i.Slot].given = true
		default:
			if err := g.adopt(i.Slot, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *reusePort) inherit(i serverImage, workers map[int]*Worker) error {
	g.ordered = i.Ordered
	for _, id := range i.Holders {
		if w := workers[id]; w != nil {
			g.holders[w] = true
		}
	}
	if err := g.dispatcher.inherit(i, workers); err != nil {
		return err
	}
	g.settle()
	g.resumeDrains()
	return nil
}
