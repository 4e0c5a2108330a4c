package reuseport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/sock"
)

// DefaultLimit is how long a drain takes at most.
const DefaultLimit = 3 * time.Second

// Drain says how a member is drained. The zero Drain is fit for use.
type Drain struct {
	// Limit is when the drain gives up what isn't finished; 0 is DefaultLimit.
	// A handshake takes a round trip, and seconds where packets are lost.
	Limit time.Duration

	// Take gets each connection that comes to the member meanwhile, and owns
	// the descriptor. Without, somebody must go on accepting from the member,
	// here or in another process. It is called on the goroutine of Drain.
	Take func(sock.FD, sock.Addr)

	// Keep leaves the member in the group when nothing more comes to it, away and
	// listening: for a process that is to be ended first. Have it Leave then.
	Keep bool
}

// A Report is what a drain did.
type Report struct {
	Waited  time.Duration
	Pending int // half-open requests of the port that it waited for: any member's
	Rescued int // connections accepted from the member meanwhile, as far as Take or its Counters saw them
	Rounds  int // above 1: it began again since the group had changed

	// Given up at the limit: half-open requests, of which the member's are
	// reset, and connections that nobody accepted, which are reset too. With
	// Migrates (net.ipv4.tcp_migrate_req) the kernel gives most of both to
	// other members.
	HalfOpen, Queued int
	Migrates         bool
}

func (r Report) String() string {
	s := fmt.Sprintf("drained in %v: waited for %d handshakes, %d connections rescued",
		r.Waited.Round(time.Millisecond), r.Pending, r.Rescued)
	if r.HalfOpen+r.Queued > 0 {
		s += fmt.Sprintf("; given up: %d handshakes, %d connections", r.HalfOpen, r.Queued)
		if r.Migrates {
			s += ", left to tcp_migrate_req"
		}
	}
	return s
}

// Drain ends a member without a loss:
//
//  1. New connections are steered to the others.
//  2. After a grace period each SYN that had chosen the member is in the table
//     of half-open requests.
//  3. It waits until none of the requests that were there is left. They don't
//     tell whose they are, so it waits for those of other members too.
//  4. After another grace period those that were completed are in the accept
//     queue. That is emptied, and the member shut down and closed.
//
// When another member is closed meanwhile, the places in the kernel's group
// change and a SYN may have gone astray; then it begins again with 2. At the
// limit it gives up what is left, says so in the report, and closes the member
// all the same.
//
// When ctx ends, or on another error, the member stays, and stays away: have it
// Leave, or back by SetAway. The last member that isn't away can't be drained.
//
// It lists the sockets of the namespace every few milliseconds. With
// TCP_DEFER_ACCEPT a client that says nothing holds it until the limit.
func (g *Group) Drain(ctx context.Context, m *Member, d Drain) (Report, error) {
	if d.Limit == 0 {
		d.Limit = DefaultLimit
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	w := &drainage{g: g, m: m, d: d, deadline: start.Add(d.Limit)}
	before := m.Counters().Accepted.Load()
	err := w.run(ctx)
	if d.Take == nil {
		w.Rescued = int(m.Counters().Accepted.Load() - before)
	}
	w.Waited = time.Since(start)
	return w.Report, g.fail("drain", err)
}

// A drainage is a drain at work.
type drainage struct {
	Report
	g        *Group
	m        *Member
	d        Drain
	diag     *backlog.Namespace
	deadline time.Time
	left     map[handshake]bool // the requests that it waits for
}

type handshake struct{ local, remote netip.AddrPort }

func (w *drainage) run(ctx context.Context) error {
	g, m := w.g, w.m
	g.mu.Lock()
	err := g.setAway(m, true)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	if w.diag, err = g.namespace(m.Descriptor()); err != nil {
		return err
	}
	for {
		g.mu.Lock()
		changes := g.changes
		g.mu.Unlock()
		w.Rounds++
		if err := w.round(ctx, changes); err != nil {
			return err
		}
		done, err := w.end(changes)
		if done || err != nil {
			return err
		}
	}
}

// round is steps 2 to 4, but for the end. It returns early when the group has
// changed or the time is over.
func (w *drainage) round(ctx context.Context, changes int) error {
	grace()
	w.left = nil
	for {
		looked := time.Now()
		if err := w.look(); err != nil {
			return err
		}
		if err := w.take(); err != nil {
			return err
		}
		if len(w.left) == 0 {
			break
		}
		// A look walks the hash table of the host; leave it half of the time.
		if over, err := w.wait(ctx, changes, max(time.Millisecond, time.Since(looked))); over || err != nil {
			return err
		}
	}
	grace()
	for {
		if err := w.take(); err != nil {
			return err
		}
		q, err := w.m.Queue()
		if err != nil || q.Depth == 0 {
			return err
		}
		if over, err := w.wait(ctx, changes, time.Millisecond); over || err != nil {
			return err
		}
	}
}

// look drops the requests that are over; the first time it finds which there are.
func (w *drainage) look() error {
	local := w.g.local.AddrPort()
	rows, err := w.diag.HalfOpen(local.Port())
	if err != nil {
		return err
	}
	first := w.left == nil
	left := map[handshake]bool{}
	for _, r := range rows {
		if !local.Addr().IsUnspecified() && r.Local.Addr().WithZone("") != local.Addr().WithZone("") {
			continue
		}
		h := handshake{r.Local, r.Remote}
		if first || w.left[h] {
			left[h] = true
		}
	}
	if first {
		w.Pending += len(left)
	}
	w.left = left
	return nil
}

// take accepts until EAGAIN. Others may accept too.
func (w *drainage) take() error {
	if w.d.Take == nil {
		return nil
	}
	for {
		fd, peer, err := w.m.acceptNow()
		switch {
		case err == nil:
			w.Rescued++
			w.d.Take(fd, peer)
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ECONNABORTED):
		default: // EMFILE: what waits goes on waiting
			return err
		}
	}
}

// wait reports whether the round is over.
func (w *drainage) wait(ctx context.Context, changes int, d time.Duration) (over bool, err error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return true, context.Cause(ctx)
	case <-t.C:
	}
	w.g.mu.Lock()
	changed := w.g.changes != changes
	w.g.mu.Unlock()
	return changed || time.Now().After(w.deadline), nil
}

// end closes the member, unless the group has changed and there is time to begin
// again.
func (w *drainage) end(changes int) (bool, error) {
	g, m := w.g, w.m
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.knows(m); err != nil {
		return true, err
	}
	late := time.Now().After(w.deadline)
	if !late && (g.changes != changes || !m.away) {
		return false, g.setAway(m, true)
	}
	q, err := m.Queue()
	if err != nil {
		return true, err
	}
	w.HalfOpen, w.Queued = len(w.left), q.Depth
	if s, err := w.diag.Sysctls(); err == nil {
		w.Migrates = s.MigrateReq == 1
	}
	if w.d.Keep {
		return true, nil
	}
	hide(m.Descriptor())
	return true, g.end(m)
}

// hide has the kernel find the group by another member than this one, which is
// about to be shut down. A lookup takes the first socket in a bucket that fits and
// asks for its group (inet_lhash2_lookup). One that is being shut down has left its
// group before it leaves the bucket (inet_unhash), and would be taken itself in
// between; 1 of 1,000,000 connections was lost so. A socket that is bound to an
// interface which doesn't exist fits nothing. With tcp_migrate_req it stays in its
// group. Linux 5.1; nothing but root undoes it.
func hide(fd sock.FD) {
	const noInterface = math.MaxInt32
	if sock.BindToIfindex.Set(fd, noInterface) == nil {
		grace()
	}
}
