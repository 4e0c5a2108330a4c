package steer

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/reuseport"
	"onconn/sock"
)

// member is the one with that ID, with a slot; mu is held.
func (p *Program) member(id reuseport.ID) (member, error) {
	if m, ok := p.members[id]; ok {
		return m, nil
	}
	if s := p.board.find(int64(id)); s != nil { // it was here before Stop
		return p.take(id, s), nil
	}
	for i := range p.board.slots {
		s := &p.board.slots[i]
		// Connections of a member that has left still count down in its slot.
		if s.taken.Load() == 0 && s.counters.Active.Load() <= 0 {
			s.reset()
			return p.take(id, s), nil
		}
	}
	return member{}, fmt.Errorf("steer: all %d slots are taken, by members or by open connections of members that left (Config.Members, Program.Reset): %w",
		len(p.board.slots), unix.ENOSPC)
}

func (p *Program) take(id reuseport.ID, s *slot) member {
	s.id.Store(int64(id))
	s.taken.Store(1)
	m := member{slot: s, socket: sock.None}
	p.members[id] = m
	return m
}

// Steer implements [reuseport.Steering].
func (p *Program) Steer(places []reuseport.Place) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	here := map[reuseport.ID]bool{}
	for _, place := range places {
		here[place.ID] = true
	}
	for id, m := range p.members {
		if !here[id] {
			if err := p.forget(id, m); err != nil {
				return err
			}
		}
	}
	used := 0
	for _, place := range places {
		if err := p.place(place); err != nil {
			return err
		}
		used = max(used, 1+p.board.index(p.members[place.ID].slot))
	}
	p.board.used.Store(int64(used))
	// Those that are away come last, so that there is always one that isn't.
	for _, place := range places {
		if s := p.members[place.ID].slot; place.Away {
			s.weight.Store(0)
			if err := p.sockets.remove(p.board.index(s)); err != nil {
				return err
			}
		}
	}
	return sock.AttachReusePortEBPF.Set(places[0].Socket, p.program)
}

// place has a member get its share, unless it is away.
func (p *Program) place(place reuseport.Place) error {
	m, err := p.member(place.ID)
	if err != nil {
		return err
	}
	m.socket = place.Socket
	p.members[place.ID] = m
	if place.Away {
		return nil
	}
	cookie, err := sock.Cookie.Get(place.Socket)
	if err != nil {
		return err
	}
	if i := p.board.index(m.slot); p.sockets.cookie(i) != cookie {
		if err := p.put(i, place.Socket); err != nil {
			return err
		}
	}
	m.slot.weight.Store(int64(place.Weight))
	return nil
}

// put waits for a moment when a socket is still in another array: that of a
// program that has just been closed leaves it after a grace period.
func (p *Program) put(slot int, fd sock.FD) error {
	const most = time.Second
	for end := time.Now().Add(most); ; time.Sleep(5 * time.Millisecond) {
		err := p.sockets.put(slot, fd)
		if !isErrno(err, unix.EBUSY) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("another program steers this socket, stop that first: %w", err)
		}
	}
}

// forget frees the slot of a member that has left.
func (p *Program) forget(id reuseport.ID, m member) error {
	m.slot.weight.Store(0)
	err := p.sockets.remove(p.board.index(m.slot)) // close(2) did it, unless somebody has it still
	m.slot.taken.Store(0)
	delete(p.members, id)
	return err
}

// Stop implements [reuseport.Steering].
func (p *Program) Stop(places []reuseport.Place) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	if len(places) > 0 {
		errs = append(errs, detach(places[0].Socket))
	}
	for id, m := range maps.Clone(p.members) {
		errs = append(errs, p.forget(id, m))
	}
	return errors.Join(errs...)
}

func detach(fd sock.FD) error {
	err := sock.DetachReusePortBPF.Set(fd, struct{}{})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func isErrno(err error, want unix.Errno) bool { return errors.Is(err, want) }

// settleAfter is when a handshake that hasn't ended counts as failed.
const settleAfter = 3 * time.Second

// Settle corrects what the program believes to be on its way to the members: of
// the SYNs that chose one, some never become connections. What was chosen three
// seconds ago, hasn't been accepted and doesn't wait in the queue is given up.
// Call it every second or so, where LeastLoaded or a Limit is used.
func (p *Program) Settle() error { return p.settle(time.Now()) }

func (p *Program) settle(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for id, m := range p.members {
		if m.socket == sock.None {
			continue
		}
		if now.Sub(m.settled) < settleAfter {
			continue
		}
		q, err := backlog.Of(m.socket)
		if err != nil {
			errs = append(errs, fmt.Errorf("steer: member %v: %w", id, err))
			continue
		}
		s := m.slot
		if !m.settled.IsZero() {
			stale := m.chosen - s.counters.Accepted.Load() - s.lost.Load() - int64(q.Depth)
			s.lost.Add(max(stale, 0))
		}
		// More came than were chosen: cookies, or before the program was there.
		s.lost.Add(min(s.pending(), 0))
		m.settled, m.chosen = now, s.chosen.Load()
		p.members[id] = m
	}
	return errors.Join(errs...)
}
