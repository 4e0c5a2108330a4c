package cluster

import (
	"context"
	"errors"
	"net"
	"time"

	"onconn/reuseport"
	"onconn/sock"
)

// vacate has the socket of a slot go that nobody is expected in any more: first
// the kernel is steered away from it, and then nothing of what had chosen it is
// lost. See reuseport.Group.Drain.
func (g *reusePort) vacate(slot int) {
	m := g.members[slot]
	if m == nil || len(g.members) == 1 || !g.steers() || g.stopped || g.served(slot) {
		return // it is kept, and the primary accepts from it
	}
	g.primary.lookout.forget(m.Descriptor())
	g.shut(m.Descriptor())
	delete(g.members, slot)
	g.settle()
	g.drain(m.Member)
}

// drain runs in the background until the member is closed, or drains are to stop:
// then it stays among those that leave.
func (g *reusePort) drain(m *reuseport.Member) {
	g.mu.Lock()
	g.leaving[m] = true
	g.mu.Unlock()
	ctx := g.draining
	take := func(fd sock.FD, peer sock.Addr) {
		if g.simple.Load() {
			g.turnAway(fd, peer)
		} else {
			g.onconnection(fd, peer)
		}
	}
	g.drains.Go(func() {
		for {
			report, err := g.group.Drain(ctx, m, reuseport.Drain{Take: take})
			if ctx.Err() != nil {
				return
			}
			if err == nil || errors.Is(err, net.ErrClosed) {
				g.left(m, report)
				return
			}
			g.log.Warn("a socket can't leave its group yet", "err", err)
			select { // the member has stayed
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
}

// left notes that a member has gone.
func (g *reusePort) left(m *reuseport.Member, report reuseport.Report) {
	g.mu.Lock()
	delete(g.leaving, m)
	g.mu.Unlock()
	if report.HalfOpen+report.Queued > 0 {
		g.log.Warn("a socket has left its group, and something was lost", "report", report)
	} else {
		g.log.Debug("a socket has left its group", "report", report)
	}
}

// turnAway closes what nobody can serve: the client may try again.
func (g *reusePort) turnAway(fd sock.FD, peer sock.Addr) {
	g.log.Warn("a connection came to a socket whose program has gone, and is closed", "peer", peer)
	fd.Close()
}

// stopDrains holds drains up. What they have accepted is handed over.
func (g *reusePort) stopDrains() {
	g.stopAll()
	g.drains.Wait()
}

// resumeDrains goes on after stopDrains.
func (g *reusePort) resumeDrains() {
	g.draining, g.stopAll = context.WithCancel(context.Background())
	g.mu.Lock()
	var all []*reuseport.Member
	for m := range g.leaving {
		all = append(all, m)
	}
	g.mu.Unlock()
	for _, m := range all {
		g.drain(m)
	}
}

// quiet steers the kernel away from a slot, whose program goes on accepting what
// has chosen its socket.
func (g *reusePort) quiet(slot int) func(context.Context) error {
	m := g.members[slot]
	if m == nil || !g.steers() {
		return nil
	}
	m.quiet = true
	g.settle()
	return func(ctx context.Context) error {
		_, err := g.group.Drain(ctx, m.Member, reuseport.Drain{Keep: true})
		return err
	}
}

// hold stops drains, and has the kernel forget a program of the steering: another
// one could not take the sockets into its map while that lives.
func (g *reusePort) hold() {
	g.stopDrains()
	g.steering = g.group.Steering()
	g.steer(reuseport.Hash{})
}

func (g *reusePort) release() {
	g.steer(g.steering)
	g.resumeDrains()
}

// steer reports whether the kernel is steered so now.
func (g *reusePort) steer(s reuseport.Steering) bool {
	err := g.group.SetSteering(s)
	if err != nil {
		g.log.Error("cannot steer", "steering", s, "instead", g.group.Steering(), "err", err)
	}
	return err == nil
}
