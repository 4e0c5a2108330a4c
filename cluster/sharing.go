package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// A sharing is how one listener is shared among the workers: a mode at work.
// Its methods are called by one goroutine at a time.
type sharing interface {
	// address is where it listens.
	address() net.Addr
	// join makes a worker one that takes connections. The descriptors are what
	// it accepts from; they stay the sharing's.
	join(w *Worker, counters *listen.Counters) ([]sock.FD, error)
	// leave undoes join. gone: the worker takes nothing more, not even what it
	// was given already.
	leave(w *Worker, gone bool)
	// forListenFDs is the listening socket for a program in that slot which
	// knows only LISTEN_FDS.
	forListenFDs(slot int) (sock.FD, error)
	// stop gives up what the primary listens on. Workers that have the socket
	// too take what waits there.
	stop()
	// waiting is how many accepted connections no worker has taken.
	waiting() int64
	// room tells that some worker has room again.
	room()
	// close gives up everything.
	close()
}

// share opens the listener k in the given mode.
func (p *Primary) share(ctx context.Context, k key, cfg listen.Config, mode Mode) (sharing, error) {
	cfg.Logger = p.log
	switch mode {
	case RoundRobin:
		ln, err := cfg.Listen(ctx, k.Network, k.Address)
		if err != nil {
			return nil, err
		}
		r := &roundRobin{newDispatcher(p), ln}
		if err := r.open(ln.Descriptor()); err != nil {
			ln.Close()
			return nil, err
		}
		return r, nil
	case Shared:
		ln, err := cfg.Listen(ctx, k.Network, k.Address)
		if err != nil {
			return nil, err
		}
		return &sharedSocket{ln: ln}, nil
	case ReusePort:
		if strings.HasPrefix(k.Network, "unix") || k.Network == "fd" || k.Network == "vsock" {
			return nil, fmt.Errorf("reuseport mode needs a tcp address: %s is on network %s", k.Address, k.Network)
		}
		g := &reusePort{
			dispatcher: newDispatcher(p), cfg: cfg, network: k.Network, asked: k.Address,
			members: map[int]*listen.Listener{}, given: map[int]bool{},
		}
		if _, err := g.member(ctx, 0); err != nil {
			g.close()
			return nil, err
		}
		return g, nil
	}
	return nil, fmt.Errorf("unknown mode %d", mode)
}

// roundRobin: the primary accepts and a worker gets the connection.
type roundRobin struct {
	*dispatcher
	ln *listen.Listener
}

func (r *roundRobin) address() net.Addr { return r.ln.Addr() }

func (r *roundRobin) join(w *Worker, counters *listen.Counters) ([]sock.FD, error) {
	fd, err := r.dispatcher.join(w, counters)
	return []sock.FD{fd}, err
}

func (r *roundRobin) forListenFDs(int) (sock.FD, error) {
	return sock.None, errors.New("a program that knows only LISTEN_FDS can't be served in rr mode")
}

func (r *roundRobin) stop() {
	r.finish(r.ln.Descriptor())
	r.ln.Close()
}

func (r *roundRobin) close() {
	r.dispatcher.close()
	r.ln.Close()
}

// sharedSocket: the workers accept from the primary's listening socket.
type sharedSocket struct {
	ln    *listen.Listener
	given bool // to a program that knows only LISTEN_FDS
}

func (s *sharedSocket) address() net.Addr { return s.ln.Addr() }

func (s *sharedSocket) join(*Worker, *listen.Counters) ([]sock.FD, error) {
	return []sock.FD{s.ln.Descriptor()}, nil
}

func (s *sharedSocket) forListenFDs(int) (sock.FD, error) {
	fd, first := s.ln.Descriptor(), !s.given
	s.given = true
	return fd, makeBlocking(fd, first)
}

// leave wakes the other workers if one is gone: the kernel may have woken just
// that one for a connection (EPOLLEXCLUSIVE). SHUT_WR ends nothing on a
// listening socket, but wakes all who wait for it (inet_shutdown: sk_state_change).
func (s *sharedSocket) leave(_ *Worker, gone bool) {
	if fd := s.ln.Descriptor(); gone && fd != sock.None {
		fd.Shutdown(unix.SHUT_WR)
	}
}

// stop gives up the primary's own descriptor: the socket listens on until the
// last worker has taken what waits and closed its own.
func (s *sharedSocket) stop() { s.ln.Close() }

func (s *sharedSocket) waiting() int64 { return 0 }
func (s *sharedSocket) room()          {}
func (s *sharedSocket) close()         { s.ln.Close() }

// reusePort: each worker accepts from a socket of its own. The primary keeps
// all of them, and accepts itself from one whose worker doesn't: the kernel
// still sends it its share.
type reusePort struct {
	*dispatcher
	cfg            listen.Config
	network, asked string
	bound          net.Addr                 // of the first member: port 0 is a number by now
	members        map[int]*listen.Listener // by slot
	stopped        bool
	given          map[int]bool // by slot: to a program that knows only LISTEN_FDS
}

func (g *reusePort) address() net.Addr { return g.bound }

// member is the socket of a slot, made when it is first asked for.
func (g *reusePort) member(ctx context.Context, slot int) (*listen.Listener, error) {
	if ln := g.members[slot]; ln != nil {
		return ln, nil
	}
	// The first one asks for the port alone, or it would quietly share that of
	// another program. Set on a listening socket the flag lets others join.
	cfg, address := g.cfg, g.asked
	if g.bound != nil {
		cfg.ReusePort, address = true, g.bound.String()
	}
	ln, err := cfg.Listen(ctx, g.network, address)
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
	g.members[slot] = ln
	return ln, g.open(ln.Descriptor())
}

func (g *reusePort) join(w *Worker, counters *listen.Counters) ([]sock.FD, error) {
	ln, err := g.member(context.Background(), w.Slot)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(int(ln.Descriptor()), true); err != nil { // see forListenFDs
		return nil, os.NewSyscallError("fcntl", err)
	}
	queue, err := g.dispatcher.join(w, counters)
	if err != nil {
		return nil, err
	}
	g.shut(ln.Descriptor())
	return []sock.FD{ln.Descriptor(), queue}, nil
}

func (g *reusePort) leave(w *Worker, gone bool) {
	g.dispatcher.leave(w, gone)
	ln := g.members[w.Slot]
	if ln == nil || g.stopped || g.has(ln.Descriptor()) {
		return
	}
	if !w.hasSpoken() && g.empty() {
		return // a program that knows only LISTEN_FDS: its successor takes on
	}
	err := unix.SetNonblock(int(ln.Descriptor()), true) // see forListenFDs
	if err == nil {
		err = g.open(ln.Descriptor())
	}
	if err != nil {
		g.log.Error("cannot accept for a worker that left", "worker", w.ID, "err", err)
	}
}

func (g *reusePort) forListenFDs(slot int) (sock.FD, error) {
	ln, err := g.member(context.Background(), slot)
	if err != nil {
		return sock.None, err
	}
	fd, first := ln.Descriptor(), !g.given[slot]
	if first {
		g.given[slot] = true
		g.shut(fd) // it is that program's alone
	}
	return fd, makeBlocking(fd, first)
}

// stop gives up the primary's own descriptors, as in sharedSocket. Sockets that
// no worker has end with that.
func (g *reusePort) stop() {
	g.stopped = true
	for _, ln := range g.members {
		if g.has(ln.Descriptor()) {
			g.finish(ln.Descriptor())
		}
		ln.Close()
	}
}

func (g *reusePort) close() {
	g.dispatcher.close()
	for _, ln := range g.members {
		ln.Close()
	}
}

// makeBlocking makes a listening socket as sd_listen_fds(3) promises it: a simple
// server calls accept without asking whether it may block. Only before it is
// first given away: workers that have it may have made it non-blocking for all.
func makeBlocking(fd sock.FD, first bool) error {
	if !first {
		return nil
	}
	return os.NewSyscallError("fcntl", unix.SetNonblock(int(fd), false))
}
