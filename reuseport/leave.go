package reuseport

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Leave ends a member at once, for every process that has its socket: what it
// had queued or half-open is reset, unless net.ipv4.tcp_migrate_req is on.
// [Group.Drain] loses nothing.
func (g *Group) Leave(m *Member) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.knows(m)
	if err == nil {
		err = g.end(m)
	}
	return g.fail("leave", err)
}

// end takes a member out of the kernel's group; mu is held.
func (g *Group) end(m *Member) error {
	if !m.away && g.present() > 1 {
		// A program that the kernel asks where to move what waits here must not
		// choose this very member. Errors show below.
		m.away = true
		g.steer()
	}
	// close(2) would leave the socket listening if another process has it.
	m.ended.Store(true)
	err := shutdown(m.Descriptor())
	m.gone = true
	g.order.leave(m)
	g.changes++ // places have moved before the program knows
	if len(g.order) > 0 {
		if g.present() == 0 { // the only one to go to has left
			g.order[0].away = false
		}
		err = errors.Join(err, g.steer())
	}
	return errors.Join(err, m.Listener.Close())
}

// shutdown stops listening. ENOTCONN: somebody else has done it already.
func shutdown(fd sock.FD) error {
	err := fd.Shutdown(unix.SHUT_RD)
	if errors.Is(err, unix.ENOTCONN) {
		return nil
	}
	return err
}

// Resize has the group have n members, n >= 1: it joins new ones, or drains
// those that joined last, one after the other, and reports on these. When it
// fails, what is done so far stays.
func (g *Group) Resize(ctx context.Context, n int, d Drain) ([]Report, error) {
	if n < 1 {
		return nil, g.fail("resize", errOnly)
	}
	for g.size() < n {
		if _, err := g.Join(ctx); err != nil {
			return nil, err
		}
	}
	var reports []Report
	for g.size() > n {
		m := g.youngest()
		if m == nil { // others have had them leave
			break
		}
		r, err := g.Drain(ctx, m, d)
		if err != nil {
			return reports, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}

func (g *Group) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.order)
}

func (g *Group) youngest() (m *Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, other := range g.order {
		if m == nil || other.ID > m.ID {
			m = other
		}
	}
	return m
}
