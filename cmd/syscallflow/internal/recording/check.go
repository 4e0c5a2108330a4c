package recording

import (
	"errors"
	"fmt"
	"math"
)

// Limits of what Read takes, so that a file of a few kilobytes can't ask for more
// work than a true recording of a day.
const (
	maxPID   = 1 << 22 // PID_MAX_LIMIT
	maxTime  = Time(100 * 365 * 24 * 3600 * 1e9)
	maxQueue = math.MaxInt32
	maxSize  = 1 << 40
)

// Check says what in a recording contradicts the rest of it, or can't be.
func (r *Recording) Check() error {
	processes := map[int]bool{}
	for i, p := range r.Processes {
		switch {
		case p.PID <= 0 || p.PID > maxPID:
			return fmt.Errorf("process %d has the PID %d", i, p.PID)
		case !possible(p.Begin) || !possible(p.End):
			return fmt.Errorf("process %d is of no possible time", p.PID)
		}
		processes[p.PID] = true
	}
	sockets := map[SocketID]bool{0: true}
	for i, s := range r.Sockets {
		switch {
		case s.ID <= 0:
			return fmt.Errorf("socket %d has the number %d: they begin at 1", i, s.ID)
		case sockets[s.ID]:
			return fmt.Errorf("two sockets have the number %d", s.ID)
		case s.From == s.ID || s.Pair == s.ID:
			return fmt.Errorf("socket %d comes from itself", s.ID)
		case s.Backlog < 0 || s.Backlog > maxQueue || !possible(s.Made):
			return fmt.Errorf("socket %d has an impossible backlog or time", s.ID)
		}
		sockets[s.ID] = true
	}
	known := func(id SocketID) error {
		if !sockets[id] {
			return fmt.Errorf("there is no socket %d", id)
		}
		return nil
	}
	for _, s := range r.Sockets {
		if err := errors.Join(known(s.From), known(s.Pair)); err != nil {
			return fmt.Errorf("socket %d: %w", s.ID, err)
		}
	}
	for i := range r.Calls {
		c := &r.Calls[i]
		if !processes[c.PID] {
			return fmt.Errorf("call %d is of the process %d, which is not there", i, c.PID)
		}
		if !possible(c.Begin) || !possible(c.End) || c.Size < 0 || int64(c.Size) > maxSize || c.TID < 0 || c.TID > maxPID {
			return fmt.Errorf("call %d has an impossible time, thread or size", i)
		}
		for _, fd := range append([]FD{of(c.FD), of(c.New)}, c.Passed...) {
			if err := known(fd.Socket); err != nil {
				return fmt.Errorf("call %d: %w", i, err)
			}
		}
	}
	for i, p := range r.Packets {
		if err := known(p.Socket); err != nil {
			return fmt.Errorf("packet %d: %w", i, err)
		}
		if !possible(p.Time) || p.Size < 0 || int64(p.Size) > maxSize {
			return fmt.Errorf("packet %d has an impossible time or size", i)
		}
	}
	for i, d := range r.Depths {
		if err := known(d.Socket); err != nil {
			return fmt.Errorf("depth %d: %w", i, err)
		}
		if !possible(d.Time) || d.Queue < 0 || d.Queue > maxQueue || d.Limit < 0 || d.Limit > maxQueue {
			return fmt.Errorf("depth %d is impossible", i)
		}
	}
	for i, q := range r.Requests {
		if !possible(q.Begin) || !possible(q.End) {
			return fmt.Errorf("request %d is of no possible time", i)
		}
	}
	if !possible(r.Took) || r.Clock < 0 || r.Clock > 1e9 {
		return errors.New("its length or the error of its clock is impossible")
	}
	return nil
}

func possible(t Time) bool { return t > -maxTime && t < maxTime }

func of(fd *FD) FD {
	if fd == nil {
		return FD{}
	}
	return *fd
}
