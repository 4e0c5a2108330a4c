package cluster

import (
	"context"
	"sync"

	"onconn/listen"
	"onconn/sock"
)

// A server is a listener of the cluster, and who of the workers has it.
type server struct {
	key  key
	mode Mode
	cfg  listen.Config
	keep bool // the primary opened it by itself: it stays without workers

	sharing sharing
	rota    rota

	mu      sync.Mutex      // over all below, and over sharing's methods but room
	seated  map[*Worker]int // the line on its board
	slots   map[int]bool    // whose worker, or its successor, is expected
	stopped bool            // takes no new clients
	shut    bool
}

// open makes the sharing. A server that failed to open is never used.
func (p *Primary) open(ctx context.Context, k key, cfg listen.Config, mode Mode) (*server, error) {
	if mode == 0 {
		mode = p.cfg.Mode
	}
	if isPacket(k.Network) {
		mode = Shared
	}
	sh, err := p.share(ctx, k, cfg, mode)
	if err != nil {
		return nil, err
	}
	s := &server{key: k, mode: mode, cfg: cfg, sharing: sh, seated: map[*Worker]int{}, slots: map[int]bool{}}
	sh.onWait(s.watch)
	return s, nil
}

// provide answers a worker that asks for a listener. An error means that its
// channel is of no use.
func (p *Primary) provide(w *Worker, m message) error {
	reply, fds, err := p.seat(w, m)
	if err != nil {
		reply = message{Error: remoteErrorOf(err)}
	}
	reply.Op, reply.Seq = opReply, m.Seq
	sent := w.channel.send(reply, fds...)
	closeAll(fds)
	switch {
	case err != nil:
		return sent
	case sent != nil:
		p.closed(w, *m.Key)
		return sent
	}
	p.emit(Event{Kind: Listening, Worker: w, Addr: reply.Addr.netAddr()})
	return nil
}

// seat lets a worker take connections of the listener that it asks for. The
// result tells it how, and the caller owns the descriptors.
func (p *Primary) seat(w *Worker, m message) (message, []sock.FD, error) {
	for {
		s, err := p.find(*m.Key, *m.Config, m.Mode)
		if err != nil {
			return message{}, nil, err
		}
		reply, fds, err := s.seat(w)
		if err == errShut {
			continue // its last worker has just closed it
		}
		if err != nil {
			p.tidy(s)
		}
		reply.MaxConns = p.cfg.MaxConns
		return reply, fds, err
	}
}

// find returns the server of k, and opens it if there is none. The first worker
// that asks decides how.
func (p *Primary) find(k key, cfg listen.Config, mode Mode) (*server, error) {
	p.opening.Lock() // one at a time: all workers ask at once
	defer p.opening.Unlock()
	p.mu.Lock()
	s, ending := p.servers[k], p.ending
	p.mu.Unlock()
	switch {
	case ending:
		return nil, errEnding
	case s != nil:
		return s, nil
	case k.Network == "fd": // its numbers are the primary's, not the worker's
		return nil, errInherited
	}
	s, err := p.open(context.Background(), k, cfg, mode)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		s.close()
		return nil, errEnding
	}
	p.servers[k] = s
	return s, nil
}

// seat makes the worker one that takes connections. The descriptors are what it
// accepts from; the caller owns them.
func (s *server) seat(w *Worker) (reply message, fds []sock.FD, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, twice := s.seated[w]; {
	case s.shut:
		return message{}, nil, errShut
	case s.stopped:
		return message{}, nil, errEnding
	case w.State() >= StateDraining:
		return message{}, nil, errGoing
	case twice:
		return message{}, nil, errTwice
	}
	line, err := w.takeLine()
	if err != nil {
		return message{}, nil, err
	}
	ours, err := s.sharing.join(w, w.board.line(line))
	if err != nil {
		w.freeLine(line)
		return message{}, nil, err
	}
	s.seated[w] = line
	s.slots[w.Slot] = true
	// Duplicates, to be sent when mu is free: a worker may be slow to read.
	if fds, err = dupAll(ours); err != nil {
		s.unseat(w, true)
		return message{}, nil, err
	}
	return message{Mode: s.mode, Line: line, Addr: remoteAddrOf(s.sharing.address())}, fds, nil
}

func dupAll(fds []sock.FD) (dups []sock.FD, err error) {
	for _, fd := range fds {
		dup, err := fd.Dup()
		if err != nil {
			closeAll(dups)
			return nil, err
		}
		dups = append(dups, dup)
	}
	return dups, nil
}

// leave undoes seat. gone: the worker takes nothing more. forGood: if it has no
// successor nobody in its slot is expected to want this listener again.
func (s *server) leave(w *Worker, gone, forGood bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unseat(w, gone)
	// Under the lock: a successor that dies leaves its seat when it is known to be
	// mute.
	if forGood && !s.slotSeated(w.Slot) && !w.primary.succeeded(w) {
		delete(s.slots, w.Slot)
		if gone && !s.shut {
			s.sharing.vacate(w.Slot)
		}
	}
}

// forget: nobody is expected in these slots any more.
func (s *server) forget(slots []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range slots {
		if !s.shut && !s.slotSeated(n) {
			delete(s.slots, n)
			s.sharing.vacate(n)
		}
	}
}

// quiet is that of the sharing.
func (s *server) quiet(slot int) func(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut || s.stopped {
		return nil
	}
	return s.sharing.quiet(slot)
}

// slotSeated reports whether a worker of that slot takes connections.
func (s *server) slotSeated(slot int) bool {
	for w := range s.seated {
		if w.Slot == slot {
			return true
		}
	}
	return false
}

func (s *server) unseat(w *Worker, gone bool) {
	if s.shut {
		return
	}
	s.sharing.leave(w, gone)
	if line, ok := s.seated[w]; ok {
		w.freeLine(line)
		delete(s.seated, w)
	}
}

// closed: the worker has closed the listener. Others get what it had not taken;
// the last one takes the listening socket with it.
func (p *Primary) closed(w *Worker, k key) {
	p.mu.Lock()
	s := p.servers[k]
	p.mu.Unlock()
	if s == nil {
		return
	}
	s.leave(w, true, true)
	p.tidy(s)
}

// tidy closes a server that no worker wants any more.
func (p *Primary) tidy(s *server) {
	p.opening.Lock() // nobody finds it meanwhile
	defer p.opening.Unlock()
	if !s.closeUnused() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.servers[s.key] == s {
		delete(p.servers, s.key)
		p.nodes.forget(s.key)
	}
}

// closeUnused closes it if no worker wants it any more, and reports whether it
// is closed.
func (s *server) closeUnused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.keep && len(s.slots) == 0 {
		s.closeLocked()
	}
	return s.shut
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

func (s *server) closeLocked() {
	if !s.shut {
		s.shut = true
		s.sharing.close()
	}
}

// stop takes no new clients.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shut {
		s.stopped = true
		s.sharing.stop()
	}
}

// waiting is how many accepted connections no worker has taken.
func (s *server) waiting() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return 0
	}
	return s.sharing.waiting()
}

// forListenFDs is the listening socket for a worker whose program may know only
// LISTEN_FDS.
func (s *server) forListenFDs(w *Worker) (sock.FD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return sock.None, errEnding
	}
	return s.sharing.forListenFDs(w)
}
