package steer

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/reuseport"
)

// What was chosen and never came is forgotten; what waits in the queue is not.
func TestSettle(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Policy: LeastLoaded})
	g := newGroup(t, p, 2)
	burst(t, g, 4) // two wait at each
	s := p.board.find(1)
	s.chosen.Add(7) // SYNs of clients that vanished
	if n := p.Load(1); n != 9 {
		t.Fatalf("the load is %d", n)
	}
	now := time.Now()
	for _, c := range []struct {
		after time.Duration
		want  int
	}{
		{0, 9},
		{settleAfter / 2, 9}, // they may come yet
		{settleAfter, 2},
		{2 * settleAfter, 2}, // those wait
	} {
		if err := p.settle(now.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		if n := p.Load(1); n != c.want {
			t.Errorf("after %v the load is %d, not %d", c.after, n, c.want)
		}
	}
	// More came than were chosen: the next ones count all the same.
	s.counters.Accepted.Add(20)
	if err := p.settle(now.Add(3 * settleAfter)); err != nil {
		t.Fatal(err)
	}
	s.chosen.Add(3)
	if n := p.Load(1); n != 3 {
		t.Errorf("after three more the load is %d", n)
	}
}

// Slots of members that left are used again, but not as long as connections
// count down there.
func TestSlots(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Policy: LeastLoaded, Members: 2})
	g := newGroup(t, p, 1)
	c := newCrowd(t)
	c.come(g, 3)
	second, err := g.Join(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Leave(g.Member(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Join(context.Background()); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("joined while connections of 1 are open: %v", err)
	}
	for _, conn := range c.conns {
		conn.Close()
	}
	third, err := g.Join(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if slot, ok := p.Slot(third.ID); !ok || slot != 0 || p.Load(third.ID) != 0 {
		t.Errorf("slot %d, %t, load %d", slot, ok, p.Load(third.ID))
	}
	if _, ok := p.Slot(1); ok || p.Publisher(1) != nil {
		t.Error("one that left has a slot")
	}
	p.Publisher(second.ID).Counters().Active.Store(9)
	p.Reset(second.ID)
	if n := p.Load(second.ID); n != 0 {
		t.Errorf("reset, and the load is %d", n)
	}
	if got := c.come(g, 10); got[second.ID] != 5 || got[third.ID] != 5 {
		t.Errorf("ten went to %v", got)
	}
}

// From one steering to another and back; what members count is kept.
func TestSwitch(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Policy: LeastLoaded})
	q := newProgram(t, Config{Policy: RoundRobin})
	g := newGroup(t, p, 2)
	c := newCrowd(t)
	if err := g.SetAway(g.Member(2), true); err != nil {
		t.Fatal(err)
	}
	c.come(g, 6)
	for _, s := range []reuseport.Steering{q, reuseport.Hash{}, q, reuseport.IncomingCPU{}, p} {
		err := g.SetSteering(s)
		if s == (reuseport.IncomingCPU{}) && errors.Is(err, unix.EINVAL) {
			continue // one member for several CPUs
		}
		if err != nil {
			t.Fatal(s, err)
		}
		if got := c.come(g, 4); got[1] != 4 {
			t.Errorf("%v: 2 is away: %v", s, got)
		}
	}
	if err := g.SetAway(g.Member(2), false); err != nil {
		t.Fatal(err)
	}
	// 6, and four under each of the others, or three if IncomingCPU refused.
	load := p.Load(1)
	if load < 6+3*4 || p.Load(2) != 0 {
		t.Errorf("loads are %d and %d", load, p.Load(2))
	}
	if got := c.come(g, 10); got[2] != 10 {
		t.Errorf("ten for the one with none: %v", got)
	}
}

// A slot whose socket has gone doesn't leave the choice to the kernel.
func TestSocketGone(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Policy: RoundRobin})
	g := newGroup(t, p, 3)
	if err := g.SetAway(g.Member(3), true); err != nil {
		t.Fatal(err)
	}
	slot, _ := p.Slot(2)
	if err := p.sockets.remove(slot); err != nil {
		t.Fatal(err)
	}
	if got := newCrowd(t).come(g, 20); got[1] != 20 {
		t.Errorf("2 has no socket and 3 is away: %v", got)
	}
}

// After an upgrade in place the group is made again of its descriptors, and
// members keep their slots and counts.
func TestRestore(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Policy: LeastLoaded})
	g := newGroup(t, p, 3)
	c := newCrowd(t)
	if err := g.SetAway(g.Member(2), true); err != nil {
		t.Fatal(err)
	}
	c.come(g, 10)
	fds := p.Descriptors()
	for i := range fds {
		var err error
		if fds[i], err = fds[i].Dup(); err != nil {
			t.Fatal(err)
		}
	}
	q, err := Open(fds[0], fds[1], fds[2])
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var sockets []reuseport.Socket
	for _, m := range g.Members() {
		fd, err := m.Descriptor().Dup()
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, reuseport.Socket{ID: m.ID, FD: fd})
	}
	h, err := reuseport.Config{Steering: q}.Restore(sockets...)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if a, b := q.Load(1), q.Load(3); a != 5 || b != 5 {
		t.Errorf("loads are %d and %d", a, b)
	}
	if got := c.come(h, 5); got[2] != 5 {
		t.Errorf("five went to %v", got)
	}
}
