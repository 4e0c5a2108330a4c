package reuseport

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// An ID names a member for the life of its group. It is never used again.
type ID int

func (id ID) String() string { return strconv.Itoa(int(id)) }

// A Member is one listening socket of a [Group], and a [net.Listener].
//
// Its Descriptor may be sent to other processes (package fdpass); they accept
// from the same queue then, and the Group keeps its own. [Group.Adopt] knows a
// descriptor that comes back.
type Member struct {
	*listen.Listener
	ID ID

	group  *Group
	cookie uint64 // SO_COOKIE: what tells sockets apart
	ended  atomic.Bool

	// Under group.mu.
	weight int
	away   bool
	gone   bool
}

// Accept is that of [listen.Listener]. When the member has left, it returns
// [net.ErrClosed]; in other processes that accept from the socket it is EINVAL.
func (m *Member) Accept() (net.Conn, error) {
	c, err := m.Listener.Accept()
	return c, m.closing(err)
}

// AcceptFD is that of [listen.Listener], with the errors of Accept.
func (m *Member) AcceptFD() (sock.FD, sock.Addr, error) {
	fd, peer, err := m.Listener.AcceptFD()
	return fd, peer, m.closing(err)
}

// closing knows an Accept that the shutdown before close has woken.
func (m *Member) closing(err error) error {
	if err != nil && errors.Is(err, unix.EINVAL) && m.ended.Load() {
		return m.group.fail("accept", net.ErrClosed)
	}
	return err
}

// Close is [Group.Leave].
func (m *Member) Close() error { return m.group.Leave(m) }

// Release is refused with errors.ErrUnsupported, since the Group would not know
// any more when the socket leaves. Give away duplicates.
func (m *Member) Release() (sock.FD, error) {
	return sock.None, m.group.fail("release",
		fmt.Errorf("a group keeps its sockets, send a duplicate of Descriptor: %w", errors.ErrUnsupported))
}

// Away reports whether new connections are steered away from the member.
func (m *Member) Away() bool {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	return m.away
}

// Weight is the member's share of new connections where the [Steering] looks at
// it, relative to those of the others: 1 until [Group.SetWeight] changes it.
func (m *Member) Weight() int {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	return m.weight
}

// acceptNow takes a connection that waits, beside the Accept calls of others.
func (m *Member) acceptNow() (fd sock.FD, peer sock.Addr, err error) {
	raw, err := m.SyscallConn()
	if err != nil {
		return sock.None, sock.Addr{}, err
	}
	errControl := raw.Control(func(s uintptr) { fd, peer, err = sock.FD(s).Accept() })
	return fd, peer, errors.Join(err, errControl)
}
