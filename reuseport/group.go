package reuseport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"onconn/backlog"
	"onconn/listen"
	"onconn/sock"
)

// Config says how the sockets of a Group are made and steered. The zero Config
// is fit for use.
type Config struct {
	// Listener is how each socket is made. MPTCP is refused. With ReusePort the
	// first one too binds with the flag, so the group may begin on a port that
	// another program of the same user has; without, it fails there, as any
	// server does.
	Listener listen.Config

	// Steering is how the kernel chooses; nil is [Hash].
	Steering Steering
}

// A Group is several sockets that listen on one address. All methods may be
// called from several goroutines at a time. Close it.
type Group struct {
	cfg     Config
	network string
	addr    net.Addr
	local   sock.Addr

	mu       sync.Mutex // held while the kernel's group changes
	closed   bool
	last     ID
	order    order
	steering Steering
	changes  int // of the kernel's group that may have put a SYN elsewhere than was meant

	diagMu sync.Mutex
	diag   *backlog.Namespace // opened when first needed
}

var (
	errForeign = errors.New("it is no member of this group, or has left it")
	errOnly    = errors.New("there is no other member to take its share: join one first")
)

// Listen makes a Group of n sockets with the zero Config. See [Config.Listen].
func Listen(network, address string, n int) (*Group, error) {
	return Config{}.Listen(context.Background(), network, address, n)
}

// Listen makes n sockets that listen on the address, n >= 1. The network is
// "tcp", "tcp4" or "tcp6", and the address as for [listen.Config.Listen]; with
// port 0 all get the one free port. EADDRINUSE says who has the port, and why
// the socket can't be shared if that is known.
func (c Config) Listen(ctx context.Context, network, address string, n int) (*Group, error) {
	g, err := c.newGroup(network, address)
	if err == nil && n < 1 {
		err = g.fail("listen", fmt.Errorf("a group of %d", n))
	}
	if err != nil {
		return nil, err
	}
	for range n {
		if _, err := g.Join(ctx); err != nil {
			g.Close()
			return nil, err
		}
	}
	return g, nil
}

func (c Config) newGroup(network, address string) (*Group, error) {
	g := &Group{cfg: c, network: network, addr: named{network, address}, steering: c.Steering}
	if g.steering == nil {
		g.steering = Hash{}
	}
	switch {
	case !strings.HasPrefix(network, "tcp"):
		return nil, g.fail("listen", fmt.Errorf("only tcp sockets form such groups: %w", net.UnknownNetworkError(network)))
	case c.Listener.MPTCP:
		return nil, g.fail("listen", errMPTCP)
	}
	return g, nil
}

// Addr is where the members listen. Do not modify it.
func (g *Group) Addr() net.Addr { return g.addr }

// Members lists the members, in the kernel's order.
func (g *Group) Members() []*Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.order)
}

// Member finds a member by its ID, or nil.
func (g *Group) Member(id ID) *Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.order {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// Close closes the group's descriptors. Sockets that other processes have too go
// on listening, by the kernel's hash; what the others had queued is lost.
func (g *Group) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return g.fail("close", net.ErrClosed)
	}
	g.closed = true
	var errs []error
	if len(g.order) > 0 {
		errs = append(errs, g.steering.Stop(g.places()))
	}
	for _, m := range g.order {
		m.gone = true
		errs = append(errs, m.Listener.Close())
	}
	g.order = nil
	g.mu.Unlock()

	g.diagMu.Lock()
	defer g.diagMu.Unlock()
	if g.diag != nil {
		errs = append(errs, g.diag.Close())
	}
	return errors.Join(errs...)
}

// knows returns an error unless m is a member; mu is held.
func (g *Group) knows(m *Member) error {
	switch {
	case g.closed:
		return net.ErrClosed
	case m.group != g || m.gone:
		return errForeign
	}
	return nil
}

func (g *Group) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: g.network, Addr: g.addr, Err: err}
}

// named is an address before it is resolved.
type named [2]string

func (n named) Network() string { return n[0] }

func (n named) String() string { return n[1] }
