package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"onconn/listen"
)

// ListenPacket is ListenConfig{}.ListenPacket without a context.
func ListenPacket(network, address string) (net.PacketConn, error) {
	return ListenConfig{}.ListenPacket(context.Background(), network, address)
}

// ListenPacket announces on a UDP address: "udp", "udp4" or "udp6". In a worker the
// socket is the primary's, as for Listen, and in every Mode all workers read from
// it, each datagram going to one of them. When the worker is asked to go ReadFrom returns
// [net.ErrClosed]; WriteTo works until Close. Of Config only V6Only and Control matter.
func (c ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	if !born.worker || c.Exclusive {
		return listenPacket(ctx, c.Config, network, address)
	}
	s, err := worker()
	if err != nil {
		return nil, err
	}
	switch {
	case !isPacket(network):
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	case c.Control != nil:
		return nil, errControl
	}
	return s.listenPacket(key{Network: network, Address: address}, c.Config)
}

// listenPacket asks the primary for the socket k.
func (s *self) listenPacket(k key, cfg listen.Config) (net.PacketConn, error) {
	if err := s.beginAsking(k); err != nil {
		return nil, err
	}
	defer s.asking.Done()
	r, err := s.obtain(&k, cfg, 0)
	if err != nil {
		return nil, err
	}
	var inner net.PacketConn
	if len(r.fds) == 1 && r.source == nil {
		inner, err = ownPacket(r.fds[0])
	} else {
		closeAll(r.fds)
		err = errReply
	}
	if err != nil {
		s.giveBack(k)
		return nil, err
	}
	c := &packetConn{inner: inner.(*net.UDPConn), self: s}
	c.leave = sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.packets, c)
		s.mu.Unlock()
		s.giveBack(k)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packets[c] = true
	return c, nil
}

// A packetConn is a worker's, whose socket others have too.
type packetConn struct {
	inner *net.UDPConn
	self  *self
	leave func() // tells the primary
}

// longAgo ends a ReadFrom that waits.
var longAgo = time.Unix(1, 0)

// finish has ReadFrom wait no more.
func (c *packetConn) finish() { c.inner.SetReadDeadline(longAgo) }

func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.inner.ReadFrom(p)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.self.isEnding() {
		err = &net.OpError{Op: "read", Net: "udp", Source: c.LocalAddr(), Err: net.ErrClosed}
	}
	return n, from, err
}

func (c *packetConn) WriteTo(p []byte, to net.Addr) (int, error) { return c.inner.WriteTo(p, to) }

func (c *packetConn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

func (c *packetConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.inner.SetWriteDeadline(t)
}

func (c *packetConn) SetReadDeadline(t time.Time) error {
	err := c.inner.SetReadDeadline(t)
	if c.self.isEnding() { // looked at behind it: finish may have come before
		c.finish()
	}
	return err
}

func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.inner.SetWriteDeadline(t) }

func (c *packetConn) SyscallConn() (syscall.RawConn, error) { return c.inner.SyscallConn() }

// Close closes the socket in this worker.
func (c *packetConn) Close() error {
	err := c.inner.Close()
	c.leave()
	return err
}
