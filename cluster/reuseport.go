package cluster

import (
	"context"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// reusePort: each worker accepts from a socket of its own. The primary keeps
// all of them, and accepts itself from one whose worker doesn't: the kernel
// still sends it its share.
type reusePort struct {
	*dispatcher
	primary *Primary
	key     key
	cfg     listen.Config
	bound   net.Addr        // of the first member: port 0 is a number by now
	members map[int]*member // by slot
	stopped bool
}

// A member is the socket of a slot.
type member struct {
	ln    *listen.Listener
	given bool // to a program that knows only LISTEN_FDS
	post  post
}

func newReusePort(ctx context.Context, p *Primary, k key, cfg listen.Config) (*reusePort, error) {
	g := &reusePort{dispatcher: newDispatcher(p), primary: p, key: k, cfg: cfg, members: map[int]*member{}}
	slots := append([]int{0}, p.inheritedSlots(k)...)
	for _, slot := range slots {
		if _, err := g.member(ctx, slot); err != nil {
			g.close()
			return nil, err
		}
	}
	return g, nil
}

func (g *reusePort) address() net.Addr { return g.bound }

// member is the socket of a slot, made when it is first asked for.
func (g *reusePort) member(ctx context.Context, slot int) (*member, error) {
	if m := g.members[slot]; m != nil {
		return m, nil
	}
	// The first one asks for the port alone, or it would quietly share that of
	// another program. Set on a listening socket the flag lets others join.
	cfg, address := g.cfg, g.key.Address
	if g.bound != nil {
		cfg.ReusePort, address = true, g.bound.String()
	}
	ln, err := g.primary.listen(ctx, cfg, g.key.Network, address, g.key, slot)
	if err != nil {
		return nil, err
	}
	if g.bound == nil {
		if err := sock.ReusePort.Set(ln.Descriptor(), true); err != nil {
			ln.Close()
			return nil, err
		}
		g.bound = ln.Addr()
	}
	m := &member{ln: ln, post: post{fd: ln.Descriptor()}}
	g.members[slot] = m
	return m, g.open(ln.Descriptor())
}

func (g *reusePort) join(w *Worker, l *line) ([]sock.FD, error) {
	m, err := g.member(context.Background(), w.Slot)
	if err != nil {
		return nil, err
	}
	fd := m.ln.Descriptor()
	if err := unix.SetNonblock(int(fd), true); err != nil { // see forListenFDs
		return nil, os.NewSyscallError("fcntl", err)
	}
	queue, err := g.dispatcher.join(w, l)
	if err != nil {
		return nil, err
	}
	g.shut(fd)
	g.watch()
	return []sock.FD{fd, queue}, nil
}

func (g *reusePort) leave(w *Worker, gone bool) {
	g.dispatcher.leave(w, gone)
	if !w.hasSpoken() && g.empty() {
		return // a program that knows only LISTEN_FDS: its successor takes on
	}
	g.stand(w.Slot)
}

// stand accepts in the place of a slot's worker if it doesn't, and no longer if
// it does.
func (g *reusePort) stand(slot int) {
	m := g.members[slot]
	if m == nil || g.stopped {
		return
	}
	fd := m.ln.Descriptor()
	if g.served(slot) {
		g.shut(fd)
		return
	}
	if g.has(fd) {
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

// served reports whether a worker of the slot takes connections.
func (d *dispatcher) served(slot int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.seats, func(s *seat) bool { return s.worker.Slot == slot && !s.hung && !d.full(s) })
}

// full reports whether the worker holds as many connections as it may.
func (d *dispatcher) full(s *seat) bool {
	return d.maxActive > 0 && s.line.Active.Load() >= d.maxActive
}

func (g *reusePort) look(now time.Time) time.Duration {
	again := g.dispatcher.look(now)
	for slot, m := range g.members {
		taken, seated := g.taken(slot)
		if !seated {
			continue
		}
		if m.post.look(taken, now) {
			g.hang(slot)
		}
		again = min(again, m.post.again(g.primary.lookout, now, g.watch))
		g.stand(slot)
	}
	return again
}

// taken is how many connections the workers of a slot have taken.
func (d *dispatcher) taken(slot int) (n int64, seated bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seats {
		if s.worker.Slot == slot {
			n += s.line.Accepted.Load()
			seated = true
		}
	}
	return n, seated
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

func (g *reusePort) forListenFDs(slot int) (sock.FD, error) {
	m, err := g.member(context.Background(), slot)
	if err != nil {
		return sock.None, err
	}
	fd, first := m.ln.Descriptor(), !m.given
	if first {
		m.given = true
		g.shut(fd) // it is that program's alone
	}
	return fd, makeBlocking(fd, first)
}

func (g *reusePort) sockets() map[int]*listen.Listener {
	sockets := map[int]*listen.Listener{}
	for slot, m := range g.members {
		sockets[slot] = m.ln
	}
	return sockets
}

// stop gives up the primary's own descriptors, as in sharedSocket. Sockets that
// no worker has end with that.
func (g *reusePort) stop() {
	g.stopped = true
	for _, m := range g.members {
		if g.has(m.ln.Descriptor()) {
			g.finish(m.ln.Descriptor())
		}
		g.closeMember(m)
	}
}

func (g *reusePort) closeMember(m *member) {
	if fd := m.ln.Descriptor(); fd != sock.None {
		g.primary.lookout.forget(fd)
	}
	m.ln.Close()
}

func (g *reusePort) close() {
	g.dispatcher.close()
	for _, m := range g.members {
		g.closeMember(m)
	}
}
