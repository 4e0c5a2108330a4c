package cluster

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/reuseport"
	"onconn/sock"
)

// reusePort: each worker accepts from a socket of its own, and the sockets are a
// group. From workers that are away the kernel is steered away; what still comes
// to their sockets the primary accepts, and gives to those that are there.
type reusePort struct {
	*dispatcher
	primary *Primary
	key     key
	group   *reuseport.Group
	members map[int]*member  // by slot
	holders map[*Worker]bool // programs that know only LISTEN_FDS, as far as is known
	simple  atomic.Bool      // nobody can be given a connection: there are only such programs
	ordered bool             // the group knows the kernel's order
	stopped bool
	settled time.Time // when the steering last was

	steering reuseport.Steering // while it is held

	draining context.Context // ended when drains have to stop
	stopAll  context.CancelFunc
	drains   sync.WaitGroup

	mu      sync.Mutex
	leaving map[*reuseport.Member]bool // being drained, for good
}

// A member is the socket of a slot.
type member struct {
	*reuseport.Member
	given bool  // to a program that knows only LISTEN_FDS
	quiet bool  // its program is to go when nothing more comes
	past  int64 // what workers took that have left
	post  post
}

func newReusePort(ctx context.Context, p *Primary, k key, cfg listen.Config) (*reusePort, error) {
	g := &reusePort{
		dispatcher: newDispatcher(p), primary: p, key: k, ordered: true,
		members: map[int]*member{}, holders: map[*Worker]bool{}, leaving: map[*reuseport.Member]bool{},
	}
	g.mixed = true
	g.draining, g.stopAll = context.WithCancel(context.Background())
	gc := reuseport.Config{Listener: cfg, Steering: p.steering()}
	var err error
	if before := p.heritage[k]; len(before.Members) > 0 {
		err = g.reviveMembers(gc, before)
	} else if slots := p.inheritedSlots(k); len(slots) > 0 {
		err = g.inheritSockets(gc, slots)
	} else if g.group, err = gc.Listen(ctx, k.Network, k.Address, 1); err == nil {
		err = g.adopt(0, g.group.Members()[0])
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// inheritSockets makes the group of sockets whose order the kernel doesn't tell.
func (g *reusePort) inheritSockets(gc reuseport.Config, slots []int) error {
	var sockets []reuseport.Socket
	for i, slot := range slots {
		sockets = append(sockets, reuseport.Socket{ID: reuseport.ID(i + 1), FD: g.primary.takeInherited(g.key, slot)})
	}
	g.ordered = len(slots) == 1
	// The program of a primary that was killed may have the sockets still, and lets
	// another one have them only when the hash has taken its place.
	steering := gc.Steering
	gc.Steering = nil
	var err error
	if g.group, err = gc.Restore(sockets...); err != nil {
		for _, s := range sockets {
			s.FD.Close()
		}
		return err
	}
	for i, slot := range slots {
		if err := g.adopt(slot, g.group.Member(reuseport.ID(i+1))); err != nil {
			return err
		}
	}
	if steering == nil || !g.ordered && !knowsSockets(steering) || !g.steer(steering) {
		closeSteering(steering)
	}
	return nil
}

// knowsSockets: it needs no order, as classic programs do.
func knowsSockets(s reuseport.Steering) bool {
	_, ok := s.(reuseport.Counting)
	return ok
}

// steers reports whether the kernel can be steered away from a slot.
func (g *reusePort) steers() bool { return g.ordered || knowsSockets(g.group.Steering()) }

func (g *reusePort) address() net.Addr { return g.group.Addr() }

// member is the socket of a slot, made when it is first asked for.
func (g *reusePort) member(slot int) (*member, error) {
	if m := g.members[slot]; m != nil {
		return m, nil
	}
	m, err := g.group.Join(context.Background())
	if err != nil {
		return nil, err
	}
	err = g.adopt(slot, m)
	return g.members[slot], err
}

// adopt gives a socket to a slot, and accepts from it until a worker does.
func (g *reusePort) adopt(slot int, m *reuseport.Member) error {
	if err := g.enter(slot, m); err != nil {
		return err
	}
	return g.open(m.Descriptor())
}

// enter gives a socket to a slot, whose weight it gets.
func (g *reusePort) enter(slot int, m *reuseport.Member) error {
	g.members[slot] = &member{Member: m, post: post{fd: m.Descriptor()}}
	if w := g.primary.weight(slot); w != m.Weight() {
		return g.group.SetWeight(m, w)
	}
	return nil
}

func (g *reusePort) join(w *Worker, l *line) ([]sock.FD, error) {
	m, err := g.member(w.Slot)
	if err != nil {
		return nil, err
	}
	fd := m.Descriptor()
	if err := unix.SetNonblock(int(fd), true); err != nil { // see forListenFDs
		return nil, os.NewSyscallError("fcntl", err)
	}
	queue, err := g.dispatcher.join(w, l)
	if err != nil {
		return nil, err
	}
	m.quiet = false
	g.settle()
	g.watch()
	return []sock.FD{fd, queue}, nil
}

func (g *reusePort) leave(w *Worker, gone bool) {
	if m := g.members[w.Slot]; m != nil {
		m.past += g.takenBy(w)
	}
	g.dispatcher.leave(w, gone)
	delete(g.holders, w)
	g.settle()
}

// settle steers the kernel to the slots whose workers take connections, and
// accepts itself what comes to others.
func (g *reusePort) settle() {
	if g.stopped {
		return
	}
	simple := g.empty() && len(g.holders) > 0
	for w := range g.holders {
		simple = simple && w.complete() // a worker that starts may turn out to be one of ours
	}
	g.simple.Store(simple)
	some := false
	for slot := range g.members {
		some = some || g.served(slot)
	}
	for _, away := range []bool{false, true} { // never all of them
		for slot, m := range g.members {
			if want := some && !g.served(slot); want == away && g.steers() && m.Away() != away {
				if err := g.group.SetAway(m.Member, away); err != nil {
					g.log.Debug("cannot steer", "slot", slot, "away", away, "err", err)
				}
			}
		}
	}
	for slot, m := range g.members {
		g.stand(slot, m)
	}
}

// stand accepts in the place of a slot's worker if it doesn't, and no longer if
// it does.
func (g *reusePort) stand(slot int, m *member) {
	fd := m.Descriptor()
	if g.served(slot) {
		g.shut(fd)
		return
	}
	// With nobody to give it to, the successor of a program that knows only
	// LISTEN_FDS takes on, or the program itself.
	if g.has(fd) || g.empty() {
		return
	}
	err := unix.SetNonblock(int(fd), true) // see forListenFDs
	if err == nil {
		err = g.open(fd)
	}
	if err != nil {
		g.log.Error("cannot accept in the place of a worker", "slot", slot, "err", err)
	}
}

// served reports whether a worker of the slot is to get connections.
func (g *reusePort) served(slot int) bool {
	if m := g.members[slot]; m != nil && m.quiet {
		return false
	}
	for w := range g.holders {
		if w.Slot == slot {
			return true
		}
	}
	return g.taking(slot)
}

// taking reports whether a worker of the slot takes connections.
func (d *dispatcher) taking(slot int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.seats, func(s *seat) bool { return s.worker.Slot == slot && !s.hung && !d.full(s) })
}

// full reports whether the worker holds as many connections as it may.
func (d *dispatcher) full(s *seat) bool {
	return d.maxActive > 0 && s.line.Active.Load() >= d.maxActive
}

func (g *reusePort) look(now time.Time) time.Duration {
	if g.stopped {
		return never
	}
	again := g.dispatcher.look(now)
	for slot, m := range g.members {
		taken, _, seated := g.taken(slot)
		if !seated {
			continue
		}
		if m.post.look(m.past+taken, now) {
			g.hang(slot)
		}
		again = min(again, m.post.again(g.primary.lookout, now, g.watch))
	}
	g.settle()
	return min(again, g.publish(now))
}

// taken is how many connections the workers of a slot have taken, and how many
// they hold.
func (d *dispatcher) taken(slot int) (accepted, active int64, seated bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		if s.worker.Slot == slot {
			active += s.line.Active.Load()
			accepted += s.line.Accepted.Load()
			seated = true
		}
	}
	return accepted, active, seated
}

// takenBy is how many connections a worker has taken.
func (d *dispatcher) takenBy(w *Worker) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		if s.worker == w {
			return s.line.Accepted.Load()
		}
	}
	return 0
}

// publishEvery is how often a steering that chooses by load hears of it, while
// there is any.
const publishEvery = 250 * time.Millisecond

// publish tells a steering that counts what the workers do, and when to do so
// again. In between the program counts up by itself.
func (g *reusePort) publish(now time.Time) time.Duration {
	s, ok := g.group.Steering().(reuseport.Counting)
	if !ok {
		return never
	}
	again := never
	for slot, m := range g.members {
		accepted, active, _ := g.taken(slot)
		c := s.Counters(m.ID)
		c.Active.Store(active)
		c.Accepted.Store(m.past + accepted)
		if active > 0 {
			again = publishEvery
		}
	}
	if p, ok := s.(interface{ Settle() error }); ok && now.Sub(g.settled) > time.Second {
		g.settled = now
		if err := p.Settle(); err != nil {
			g.log.Debug("the steering cannot settle", "err", err)
		}
	}
	return again
}

// hang notes that the workers of a slot don't take what waits on their socket.
func (d *dispatcher) hang(slot int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		if s.worker.Slot == slot && !s.hung && !d.full(s) {
			s.hang()
		}
	}
}

func (g *reusePort) forListenFDs(w *Worker) (sock.FD, error) {
	m, err := g.member(w.Slot)
	if err != nil {
		return sock.None, err
	}
	fd, first := m.Descriptor(), !m.given
	m.given, m.quiet = true, false
	g.holders[w] = true
	g.settle()
	return fd, makeBlocking(fd, first)
}

func (g *reusePort) sockets() map[int]sock.FD {
	sockets := map[int]sock.FD{}
	for slot, m := range g.members {
		sockets[slot] = m.Descriptor()
	}
	return sockets
}

// stop gives up the primary's own descriptors, as in sharedSocket. Sockets that
// no worker has end with that.
func (g *reusePort) stop() {
	g.stopped = true
	g.stopDrains()
	for _, m := range g.group.Members() {
		if fd := m.Descriptor(); g.has(fd) || g.leaving[m] {
			g.finish(fd)
		}
	}
	g.closeGroup()
}

func (g *reusePort) closeGroup() {
	for _, m := range g.group.Members() {
		g.primary.lookout.forget(m.Descriptor())
	}
	steering := g.group.Steering()
	g.group.Close()
	closeSteering(steering)
}

func closeSteering(s reuseport.Steering) {
	if c, ok := s.(io.Closer); ok {
		c.Close()
	}
}

func (g *reusePort) close() {
	g.stopDrains()
	g.dispatcher.close()
	if g.group != nil {
		g.closeGroup()
	}
	clear(g.members)
}

// steered is how the kernel chooses, and whose sockets it passes over.
func (g *reusePort) steered() (how string, away []int) {
	for slot, m := range g.members {
		if m.Away() {
			away = append(away, slot)
		}
	}
	slices.Sort(away)
	return g.group.Steering().String(), away
}
