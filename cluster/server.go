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
	keep bool // the primary opened it by itself: it stays without workers

	sharing sharing

	mu     sync.Mutex      // over all below, and over sharing's methods but room
	seated map[*Worker]int // the line on its board
	slots  map[int]bool    // whose worker, or its successor, is expected
	shut   bool
}

// open makes the sharing. A server that failed to open is never used.
func (p *Primary) open(ctx context.Context, k key, cfg listen.Config, mode Mode) (*server, error) {
	if mode == 0 {
		mode = p.cfg.Mode
	}
	sh, err := p.share(ctx, k, cfg, mode)
	if err != nil {
		return nil, err
	}
	return &server{key: k, mode: mode, sharing: sh, seated: map[*Worker]int{}, slots: map[int]bool{}}, nil
}

// provide answers a worker that asks for a listener. An error means that its
// channel is of no use.
func (p *Primary) provide(w *Worker, m message) error {
	s, err := p.find(*m.Key, *m.Config, m.Mode)
	if err != nil {
		return w.channel.send(message{Op: opReply, Seq: m.Seq, Error: remoteErrorOf(err)})
	}
	seated, err := s.seat(w, m.Seq)
	if seated {
		p.emit(Event{Kind: Listening, Worker: w, Addr: s.sharing.address()})
	}
	return err
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
	}
	s, err := p.open(context.Background(), k, cfg, mode)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.servers[k] = s
	p.mu.Unlock()
	return s, nil
}

// seat lets the worker take connections of s, and tells it how, or why it can't.
// An error means that it could not be told.
func (s *server) seat(w *Worker, seq uint64) (seated bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(err error) (bool, error) {
		return false, w.channel.send(message{Op: opReply, Seq: seq, Error: remoteErrorOf(err)})
	}
	if s.shut || w.State() >= StateDraining {
		return refuse(errEnding)
	}
	if _, ok := s.seated[w]; ok {
		return refuse(errTwice)
	}
	line, err := w.takeLine()
	if err != nil {
		return refuse(err)
	}
	fds, err := s.sharing.join(w, w.board.counters(line))
	if err != nil {
		w.freeLine(line)
		return refuse(err)
	}
	s.seated[w] = line
	s.slots[w.Slot] = true
	addr := s.sharing.address()
	reply := message{Op: opReply, Seq: seq, Mode: s.mode, Line: line, MaxConns: w.primary.cfg.MaxConns, Addr: remoteAddrOf(addr)}
	if err := w.channel.send(reply, fds...); err != nil {
		s.unseat(w, true)
		return false, err
	}
	return true, nil
}

// leave undoes seat. gone: the worker takes nothing more. forGood: nobody in
// its slot is expected to want this listener again.
func (s *server) leave(w *Worker, gone, forGood bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unseat(w, gone)
	if forGood {
		delete(s.slots, w.Slot)
	}
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

	p.opening.Lock() // nobody finds it meanwhile
	defer p.opening.Unlock()
	if !s.closeUnused() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.servers[k] == s {
		delete(p.servers, k)
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

// forListenFDs is the listening socket for a program in that slot which knows
// only LISTEN_FDS.
func (s *server) forListenFDs(slot int) (sock.FD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return sock.None, errEnding
	}
	return s.sharing.forListenFDs(slot)
}
