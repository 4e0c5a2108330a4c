package listen

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync/atomic"
	"time"

	"onconn/sock"
)

// DefaultBacklog is the backlog where none is given, the one of Node and nginx.
const DefaultBacklog = 511

// Config says how to listen. The zero Config is fit for use. It is plain data
// apart from its last four fields, and travels as JSON. Fields that the
// network in question doesn't have, as KeepAlive for unix sockets, are ignored.
type Config struct {
	// Backlog limits the connections that wait for Accept, and for TCP also
	// the unfinished handshakes. Zero is DefaultBacklog, negative as many as
	// the kernel allows (net.core.somaxconn). See [Listener.Backlog]. On an
	// adopted socket zero keeps what it has.
	Backlog int

	// NoReuseAddr leaves SO_REUSEADDR off. Then a restart has to wait until
	// the connections of the old server have left TIME_WAIT. TCP only.
	NoReuseAddr bool

	// ReusePort sets SO_REUSEPORT: several sockets of one user may listen on
	// the address, and the kernel spreads connections over them by their hash.
	// TCP only; Linux 3.9.
	ReusePort bool

	// MPTCP makes a Multipath TCP socket. It refuses several TCP options and
	// reuseport programs. EPROTONOSUPPORT: the kernel has none. Linux 5.6.
	MPTCP bool

	// V6Only is IPV6_V6ONLY of an IPv6 socket. By default it is on for "tcp6"
	// and off for "tcp", whose wildcard takes IPv4 too.
	V6Only Toggle

	// KeepAlive is the silence after which TCP probes the peer, every 15
	// seconds and 9 times, as in package net: 0 is 15 seconds, negative none.
	KeepAlive time.Duration

	// Nagle leaves TCP_NODELAY off, so that small writes wait for each other.
	Nagle bool

	// DeferAccept completes a TCP connection only when its first data has
	// arrived or about this time has passed; the kernel rounds it up to 1, 3,
	// 7, 15... seconds. Clients that wait do so in the queue of handshakes,
	// and when that is full the option is off (TCP_DEFER_ACCEPT).
	DeferAccept time.Duration

	// FastOpen is how many TCP Fast Open connections may have their handshake
	// unfinished. It needs the server bit, 2, in net.ipv4.tcp_fastopen.
	FastOpen int

	// UnixMode is the permissions of a unix socket's file, which the umask
	// doesn't touch. Zero is 0777 less the umask, as always. Connecting needs
	// the right to write.
	UnixMode os.FileMode

	// MaxConns is how many connections from Accept may be open at a time. At
	// that number Accept waits, and the kernel's queue holds the clients. Zero
	// is no limit. [Listener.AcceptFD] has none.
	MaxConns int

	// Shared says that other processes accept from the same socket too, and
	// has Accept wait so that one of them wakes for each connection, in turn
	// while there is little load (EPOLLEXCLUSIVE, Linux 4.5). It costs a
	// blocked thread and, each time that it waits, two system calls more. A
	// process that is stopped just when it is woken keeps others from the
	// connection until the next one comes.
	Shared bool

	// AsIs has [Config.Own] leave O_NONBLOCK as it is, which belongs to everybody
	// who shares the socket: others accept from it, and the Listener is only kept.
	AsIs bool

	// NoHalfOpen and PauseOnConnect are those of [onconn/connwrap.Config].
	NoHalfOpen, PauseOnConnect bool

	// Control is called with the socket before bind(2), after the options
	// above are set. It must not close it. Not called for adopted sockets.
	Control func(sock.FD) error `json:"-"`

	// Logger is told when the kernel clamps the backlog; nil is [slog.Default].
	Logger *slog.Logger `json:"-"`

	// OnConnClose is called after each connection from Accept has been closed
	// or detached, and counted so. It must not block.
	OnConnClose func() `json:"-"`

	// Counters are counted in; nil is the listener's own. They may be shared
	// by several listeners.
	Counters *Counters `json:"-"`
}

// A Toggle is an option that is on, off, or left to its default.
type Toggle string

// Values of a Toggle.
const (
	Default Toggle = ""
	On      Toggle = "on"
	Off     Toggle = "off"
)

// Counters count the connections of a listener. It holds no pointer, so that it
// may lie in memory that processes share.
type Counters struct {
	Accepted atomic.Int64 // all that Accept and AcceptFD returned
	Active   atomic.Int64 // those of Accept that are not closed or detached
}

// maxKeepAlive is MAX_TCP_KEEPIDLE of the kernel, in seconds.
const maxKeepAlive = 32767 * time.Second

// validate finds what no listener can have, before anything is done.
func (c Config) validate() error {
	switch {
	case c.V6Only != Default && c.V6Only != On && c.V6Only != Off:
		return fmt.Errorf(`listen.Config: V6Only is %q, not "on", "off" or empty`, c.V6Only)
	case c.KeepAlive > maxKeepAlive:
		return fmt.Errorf("listen.Config: KeepAlive is %v, more than %v", c.KeepAlive, maxKeepAlive)
	case c.DeferAccept < 0:
		return errors.New("listen.Config: DeferAccept is negative")
	case c.FastOpen < 0 || c.FastOpen > math.MaxInt32:
		return fmt.Errorf("listen.Config: FastOpen is %d", c.FastOpen)
	case c.UnixMode != c.UnixMode.Perm():
		return fmt.Errorf("listen.Config: UnixMode is %v, more than permissions", c.UnixMode)
	case c.MaxConns < 0:
		return errors.New("listen.Config: MaxConns is negative")
	}
	return nil
}

func (c Config) backlog() int {
	if c.Backlog == 0 {
		return DefaultBacklog
	}
	return c.Backlog
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.Default()
	}
	return c.Logger
}
