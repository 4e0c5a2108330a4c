package connwrap

import (
	"net"
	"time"

	"onconn/sock"
)

// SetNoDelay sends small segments at once, or lets Nagle's algorithm gather them.
func (c *Conn) SetNoDelay(on bool) error {
	return c.set(func(fd sock.FD) error { return sock.NoDelay.Set(fd, on) })
}

// SetKeepAlive switches keep-alive probes on or off.
func (c *Conn) SetKeepAlive(on bool) error {
	return c.set(func(fd sock.FD) error { return sock.KeepAlive.Set(fd, on) })
}

// SetKeepAlivePeriod sets the silence after which keep-alive probes begin: whole
// seconds, rounded up; 0 is 15 s; a negative one changes nothing.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.set(func(fd sock.FD) error { return setUnlessNegative(fd, sock.KeepIdle, d, 15*time.Second) })
}

// SetKeepAliveConfig sets all of keep-alive; 0 is net's default, and a negative
// value leaves things as they are.
func (c *Conn) SetKeepAliveConfig(k net.KeepAliveConfig) error {
	return c.set(func(fd sock.FD) error {
		if err := sock.KeepAlive.Set(fd, k.Enable); err != nil {
			return err
		}
		if err := setUnlessNegative(fd, sock.KeepIdle, k.Idle, 15*time.Second); err != nil {
			return err
		}
		if err := setUnlessNegative(fd, sock.KeepIntvl, k.Interval, 15*time.Second); err != nil {
			return err
		}
		return setUnlessNegative(fd, sock.KeepCnt, k.Count, 9)
	})
}

func setUnlessNegative[T int | time.Duration](fd sock.FD, o sock.Option[T], v, zero T) error {
	switch {
	case v < 0:
		return nil
	case v == 0:
		v = zero
	}
	return o.Set(fd, v)
}

// SetLinger says what Close does with data that is still unsent: negative, send
// it in the background (the default); 0, drop it and reset the connection;
// positive, wait up to that many seconds in Close, which then holds a thread.
func (c *Conn) SetLinger(sec int) error {
	return c.set(func(fd sock.FD) error {
		return sock.Linger.Set(fd, sock.LingerConfig{On: sec >= 0, Timeout: time.Duration(max(sec, 0)) * time.Second})
	})
}

// SetReadBuffer asks for a receive buffer of that many bytes. The kernel doubles
// it for its own use, clamps it to net.core.rmem_max and stops tuning it.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.setError(c.withFD(func(fd sock.FD) error { return sock.RcvBuf.Set(fd, bytes) }))
}

// SetWriteBuffer asks for a send buffer, as SetReadBuffer does (net.core.wmem_max).
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.setError(c.withFD(func(fd sock.FD) error { return sock.SndBuf.Set(fd, bytes) }))
}

func (c *Conn) set(f func(sock.FD) error) error { return c.opError("set", c.withFD(f)) }
