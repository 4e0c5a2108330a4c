package cluster

import (
	"context"
	"fmt"
	"os"
	"time"

	"onconn/sock"
)

// succeed reads what a primary before left to this process, if it did. A process
// that only rehearses answers and ends.
func (p *Primary) succeed(ctx context.Context) (*image, error) {
	m, err := born.image, born.imageErr
	born.image, born.imageErr = nil, nil
	if m == nil && err == nil {
		return nil, nil
	}
	if born.rehearsal != sock.None {
		if err == nil {
			err = p.fits(ctx, m)
		}
		said := rehearsed
		if err != nil {
			said = err.Error()
		}
		born.rehearsal.Write([]byte(said))
		os.Exit(0)
	}
	return m, err
}

// fits reports what would keep this program from taking over. It opens new
// listeners, and closes them again.
func (p *Primary) fits(ctx context.Context, m *image) error {
	modes := map[key]Mode{}
	for _, s := range m.Servers {
		modes[s.Key] = s.Mode
	}
	for _, k := range p.keys() {
		switch mode, ok := modes[k]; {
		case ok && mode != p.cfg.Mode:
			return fmt.Errorf("%s is open in %v mode and can't become %v: restart instead", k.Address, mode, p.cfg.Mode)
		case ok || k.Network == "fd":
		default:
			ln, err := p.cfg.ListenConfig.Listen(ctx, k.Network, k.Address)
			if err != nil {
				return err
			}
			ln.Close()
		}
	}
	return nil
}

// takeOver makes this primary the one whose image m is. The gate is closed: nobody
// may die before everything is in its place.
func (p *Primary) takeOver(ctx context.Context, m *image) error {
	p.mu.Lock()
	p.began, p.upgrades, p.lastID, p.ready = m.Began, m.Upgrades, m.LastID, m.Ready
	if p.cfg.Inherited == nil {
		p.cfg.Inherited = map[string]sock.FD{}
	}
	for name, fd := range m.Sockets {
		p.cfg.Inherited[name] = fd
	}
	p.heritage = map[key]serverImage{}
	for _, s := range m.Servers {
		p.heritage[s.Key] = s
	}
	for _, i := range m.Slots {
		p.slotLocked(i.Slot)
	}
	p.mu.Unlock()
	workers := map[int]*Worker{}
	for _, i := range m.Workers {
		w, err := p.revive(i)
		if err != nil {
			return fmt.Errorf("worker %d: %w", i.ID, err)
		}
		workers[w.ID] = w
		p.emit(Event{Kind: Kept, Worker: w})
		p.attended.Add(1)
		p.follow(w)
		if w.State() == StateDraining {
			p.running.Go(func() { p.hurry(w, p.cfg.DrainTimeout) })
		}
	}
	for _, i := range m.Servers {
		if err := p.reviveServer(ctx, i, workers); err != nil {
			return fmt.Errorf("%s %s: %w", i.Key.Network, i.Key.Address, err)
		}
	}
	p.heritage = nil
	p.reviveSlots(m.Slots, workers)
	return nil
}

func (p *Primary) revive(i workerImage) (w *Worker, err error) {
	w = newWorker(p, i.ID, i.Slot)
	w.PID, w.started, w.pidfd = i.PID, i.Started, i.PidFD
	w.state, w.spoken, w.asked, w.idle, w.lines = i.State, i.Spoken, i.Asked, i.Idle, i.Lines
	if err = p.linkNative(w, i.Channel); err != nil {
		return nil, err
	}
	if w.board, err = ownBoard(i.Board); err != nil {
		return nil, err
	}
	w.older = true
	w.stderr = newRelay(i.Stderr)
	if i.Stderr != sock.None {
		p.relay(w.stderr)
	}
	if i.Ready || !i.Spoken { // where that says that it is ready, nobody hears it any more
		close(w.ready)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.living[w] = true
	return w, nil
}

func (p *Primary) reviveServer(ctx context.Context, i serverImage, workers map[int]*Worker) error {
	if i.Keep {
		i.Config.Control = p.cfg.ListenConfig.Control
	}
	s, err := p.open(ctx, i.Key, i.Config, i.Mode)
	if err != nil {
		return err
	}
	s.keep = i.Keep
	p.mu.Lock()
	p.servers[i.Key] = s
	p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range i.Slots {
		s.slots[n] = true
	}
	for _, seat := range i.Seats {
		w := workers[seat.Worker]
		if err := s.sharing.revive(w, w.board.line(seat.Line), seat); err != nil {
			return err
		}
		s.seated[w] = seat.Line
	}
	return s.sharing.inherit(i, workers)
}

func (p *Primary) reviveSlots(slots []slotImage, workers map[int]*Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range slots {
		s := p.slotLocked(i.Slot)
		s.worker, s.delay, s.crashes, s.restarts = workers[i.Worker], i.Delay, i.Crashes, i.Restarts
		if i.Due {
			p.restartLocked(i.Slot, min(i.Delay, time.Second))
		}
	}
}
