package listen

import (
	"time"

	"onconn/sock"
)

// A setter sets options until one fails.
type setter struct {
	fd  sock.FD
	err error
}

func set[T any](s *setter, when bool, o sock.Option[T], v T) {
	if when && s.err == nil {
		s.err = o.Set(s.fd, v)
	}
}

// setTCP sets the options of a TCP listener, before bind(2).
func (c Config) setTCP(fd sock.FD) error {
	s := &setter{fd: fd}
	set(s, !c.NoReuseAddr, sock.ReuseAddr, true)
	set(s, c.ReusePort, sock.ReusePort, true)
	set(s, c.DeferAccept > 0, sock.DeferAccept, c.DeferAccept)
	set(s, c.FastOpen > 0, sock.FastOpen, c.FastOpen)
	if s.err == nil {
		s.err = c.setInherited(fd)
	}
	return s.err
}

// setInherited sets what package net sets on each connection, since a connection
// inherits it from the listening socket when its handshake completes.
func (c Config) setInherited(fd sock.FD) error {
	s := &setter{fd: fd}
	set(s, !c.Nagle, sock.NoDelay, true)
	probe, idle := c.KeepAlive >= 0, c.KeepAlive
	if idle == 0 {
		idle = 15 * time.Second
	}
	set(s, probe, sock.KeepAlive, true)
	set(s, probe, sock.KeepIdle, idle)
	set(s, probe, sock.KeepIntvl, 15*time.Second)
	set(s, probe, sock.KeepCnt, 9)
	return s.err
}
