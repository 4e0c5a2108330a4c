package reuseport

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// Join makes one more socket, with a new ID. Only the first one of a Group is
// resolved and bound with ctx in mind.
func (g *Group) Join(ctx context.Context) (*Member, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, g.fail("join", net.ErrClosed)
	}
	id := g.last + 1
	ln, err := g.open(ctx, g.config(id))
	if err != nil {
		return nil, err
	}
	m, err := g.admit(ln, id)
	if err == nil {
		if err = g.steer(); err != nil {
			g.order.leave(m)
		}
	}
	if err != nil {
		return nil, g.fail("join", errors.Join(err, ln.Close()))
	}
	return m, nil
}

// config is that of a member's socket.
func (g *Group) config(id ID) listen.Config {
	cfg := g.cfg.Listener
	if s, ok := g.steering.(Counting); ok && cfg.Counters == nil {
		cfg.Counters = s.Counters(id)
	}
	return cfg
}

func (g *Group) open(ctx context.Context, cfg listen.Config) (*listen.Listener, error) {
	if g.local.IsValid() {
		cfg.ReusePort = true
		ln, err := cfg.Listen(ctx, g.network, g.local.String())
		return ln, g.explain(err)
	}
	if cfg.ReusePort {
		ln, err := cfg.Listen(ctx, g.network, g.addr.String())
		return ln, g.explain(err)
	}
	// Were both bound with the flag, another program of the same user would
	// quietly get half of the connections. So the first socket asks for the
	// port alone, and gets the flag when it listens.
	control := cfg.Control
	cfg.Control = func(fd sock.FD) error {
		if err := makeGroup(fd); err != nil {
			return err
		}
		if control != nil {
			return control(fd)
		}
		return nil
	}
	ln, err := cfg.Listen(ctx, g.network, g.addr.String())
	if err == nil {
		if err = sock.ReusePort.Set(ln.Descriptor(), true); err != nil {
			ln.Close()
			return nil, g.fail("listen", err)
		}
	}
	return ln, err
}

// makeGroup gives an unbound socket its group in the kernel. Without, a socket
// that listens alone takes no program (reuseport_attach_prog).
func makeGroup(fd sock.FD) error {
	if err := sock.ReusePort.Set(fd, true); err != nil {
		return err
	}
	if err := attach(fd, anyMember); err != nil {
		return err
	}
	if err := detach(fd); err != nil {
		return err
	}
	return sock.ReusePort.Set(fd, false)
}

// admit makes a listening socket a member that is yet to be steered to; mu is
// held.
func (g *Group) admit(ln *listen.Listener, id ID) (*Member, error) {
	fd := ln.Descriptor()
	cookie, err := sock.Cookie.Get(fd)
	if err != nil {
		return nil, err
	}
	local, err := fd.Getsockname()
	if err != nil {
		return nil, err
	}
	m := &Member{Listener: ln, ID: id, group: g, cookie: cookie, weight: 1}
	g.order.join(m)
	g.last = max(g.last, id)
	if !g.local.IsValid() {
		g.local, g.addr = local, ln.Addr()
		if only, err := sock.V6Only.Get(fd); err == nil && only {
			g.network = "tcp6" // as a restored one may be, and who joins it must
		}
	}
	return m, nil
}

// Adopt makes a socket that listens already a member, and owns fd from then on:
// when Adopt fails, fd is still the caller's. A descriptor of a socket that is a
// member is closed, and that member returned.
//
// For classic programs it must have begun to listen after all members, or the
// books of the kernel's order are wrong. Refused with the reason are MPTCP
// sockets, those of another address, user or network namespace, and those
// without SO_REUSEPORT.
func (g *Group) Adopt(fd sock.FD) (*Member, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, g.fail("adopt", net.ErrClosed)
	}
	cookie, err := sock.Cookie.Get(fd)
	if err != nil {
		return nil, g.fail("adopt", err)
	}
	for _, m := range g.order {
		if m.cookie == cookie {
			return m, fd.Close()
		}
	}
	m, err := g.adopt(fd, g.last+1)
	if err == nil {
		if err = g.steer(); err != nil {
			g.order.leave(m)
			m.Listener.Release() // fd is the caller's again
			m = nil
		}
	}
	return m, g.fail("adopt", err)
}

func (g *Group) adopt(fd sock.FD, id ID) (*Member, error) {
	if err := g.check(fd); err != nil {
		return nil, err
	}
	ln, err := g.config(id).Own(fd)
	if err != nil {
		return nil, err
	}
	m, err := g.admit(ln, id)
	if err != nil {
		ln.Release() // fd is the caller's again
	}
	return m, err
}

// A Socket is a member to restore.
type Socket struct {
	ID ID
	FD sock.FD
}

// Restore makes a Group of sockets that listen already, as of one whose Members
// another process listed, in that order: the kernel's. IDs go on after the
// greatest. It owns the descriptors from then on; when it fails, it has closed
// none. A single socket may lack SO_REUSEPORT, as one from systemd does, and
// gets it.
func (c Config) Restore(sockets ...Socket) (*Group, error) {
	g, err := c.newGroup("tcp", "")
	if err == nil && len(sockets) == 0 {
		err = g.fail("restore", errors.New("no sockets"))
	}
	if err == nil && len(sockets) == 1 {
		err = g.fail("restore", sock.ReusePort.Set(sockets[0].FD, true))
	}
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	for _, s := range sockets {
		if err = g.restore(s); err != nil {
			err = fmt.Errorf("member %v: %w", s.ID, err)
			break
		}
	}
	if err == nil {
		err = g.steer()
	}
	if err != nil {
		for _, m := range g.order {
			m.Listener.Release()
		}
		g.order = nil
	}
	g.mu.Unlock()
	if err != nil {
		return nil, g.fail("restore", err)
	}
	return g, nil
}

// restore makes a socket a member; mu is held.
func (g *Group) restore(s Socket) error {
	for _, m := range g.order {
		if m.ID == s.ID {
			return fmt.Errorf("two sockets have this ID: %w", unix.EEXIST)
		}
	}
	if s.ID < 1 {
		return fmt.Errorf("IDs begin at 1: %w", unix.EINVAL)
	}
	_, err := g.adopt(s.FD, s.ID)
	return err
}
