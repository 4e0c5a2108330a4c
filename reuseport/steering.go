package reuseport

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// A Steering has the kernel choose which member gets a new connection: [Hash],
// [Weighted], [ByCPU], [IncomingCPU], or a program of package reuseport/steer.
// A Group calls it under its lock.
type Steering interface {
	fmt.Stringer

	// Steer is called at each change. When it has returned nil, no SYN that
	// comes later is given to a place that is Away. There is one at least that
	// isn't.
	Steer(places []Place) error

	// Stop undoes what Steer has done.
	Stop(places []Place) error
}

// Counting is a Steering that knows how many connections a member has. Members
// that join under it count in the Counters that it gives for their IDs, unless
// the group's Config has others.
type Counting interface {
	Steering
	Counters(ID) *listen.Counters
}

// A Place is a member as a Steering sees it.
type Place struct {
	ID     ID
	Socket sock.FD // stays the group's
	Weight int     // 1 or more
	Away   bool    // new connections are to go to others
}

// MaxWeight is the greatest weight of a member: sums and products of programs stay
// far from overflowing.
const MaxWeight = 1 << 16

// places are the members in the kernel's order; mu is held.
func (g *Group) places() []Place {
	all := make([]Place, len(g.order))
	for i, m := range g.order {
		all[i] = Place{ID: m.ID, Socket: m.Descriptor(), Weight: m.weight, Away: m.away}
	}
	return all
}

// steer tells the steering what there is now; mu is held.
func (g *Group) steer() error {
	for _, m := range g.order {
		listening, err := sock.AcceptConn.Get(m.Descriptor())
		if err != nil {
			return err
		}
		if !listening {
			return fmt.Errorf("member %v doesn't listen any more, somebody has shut it down: have it Leave: %w", m.ID, unix.EINVAL)
		}
	}
	return g.steering.Steer(g.places())
}

// Steering is how the kernel chooses now.
func (g *Group) Steering() Steering {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.steering
}

// SetSteering changes how the kernel chooses; nil is [Hash]. If it can't be done,
// the old way stays. For the moment of the change it is the kernel's hash, also
// over members that are away, so that drains begin again. A [Counting] one sees
// the connections of members that join from then on, and of older ones only what
// is on its way.
func (g *Group) SetSteering(s Steering) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return g.fail("steer", net.ErrClosed)
	}
	if s == nil {
		s = Hash{}
	}
	if len(g.order) == 0 { // all have left: it is for those who join
		g.steering = s
		return nil
	}
	old := g.steering
	if err := old.Stop(g.places()); err != nil {
		return g.fail("steer", err)
	}
	g.changes++
	g.steering = s
	err := g.steer()
	if err != nil {
		s.Stop(g.places())
		g.steering = old
		err = errors.Join(err, g.steer())
	}
	return g.fail("steer", err)
}

// SetAway steers new connections away from a member, or to it again. Those that
// chose it before still complete their handshakes there. The last member that
// isn't away can't be.
func (g *Group) SetAway(m *Member, away bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fail("steer", g.setAway(m, away))
}

func (g *Group) setAway(m *Member, away bool) error {
	if err := g.knows(m); err != nil || m.away == away {
		return err
	}
	if away && g.present() == 1 {
		return errOnly
	}
	m.away = away
	err := g.steer()
	if err != nil {
		m.away = !away
	}
	return err
}

// present counts the members that aren't away; mu is held.
func (g *Group) present() (n int) {
	for _, m := range g.order {
		if !m.away {
			n++
		}
	}
	return n
}

// SetWeight gives a member its share relative to the others, 1 to MaxWeight.
func (g *Group) SetWeight(m *Member, weight int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.knows(m)
	if err == nil && (weight < 1 || weight > MaxWeight) {
		err = fmt.Errorf("weight %d is not in 1 to %d; for none use SetAway: %w", weight, MaxWeight, unix.EINVAL)
	}
	if err == nil {
		old := m.weight
		m.weight = weight
		if err = g.steer(); err != nil {
			m.weight = old
		}
	}
	return g.fail("steer", err)
}
