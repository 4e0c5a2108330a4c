package listen

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/sock"
)

// A Listener accepts connections from a listening socket, or from other sources
// ([Config.FromSources]). All methods may be called from several goroutines at a
// time. Close or Release it: it has no finalizer.
//
// It joins the runtime's poller at the first Accept or SetDeadline, through a
// duplicate of its descriptor, and not before: a process that only keeps a
// socket for others is not woken for their connections.
type Listener struct {
	cfg      Config
	network  string
	addr     net.Addr
	conn     connwrap.Config // of every connection, but for the remote address
	fallback error
	file     *unixFile
	counters *Counters

	slots    chan struct{} // holds one for each open connection; nil without a limit
	deadline deadline
	done     chan struct{} // closed when the listener is

	finishing atomic.Bool
	rest      atomic.Int64 // connections that Accept may still return then

	accepting sync.Mutex // held by the one that takes or waits for a connection

	mu             sync.RWMutex // keeps the descriptors open while others than Accept use them
	closed         bool
	sources        []sock.Source // changed under accepting too
	wait           waiter        // nil before it is needed
	turn           int           // of the source to ask next; under accepting
	asked, granted int
	clampReported  bool
}

var _ interface {
	net.Listener
	syscall.Conn
} = (*Listener)(nil)

// newListener makes the part that all constructors share.
func (c Config) newListener(network string, addr net.Addr, local sock.Addr, sources ...sock.Source) *Listener {
	l := &Listener{
		cfg:      c,
		network:  network,
		addr:     addr,
		counters: c.Counters,

		done:    make(chan struct{}),
		sources: sources,
	}
	if l.counters == nil {
		l.counters = new(Counters)
	}
	if c.MaxConns > 0 {
		l.slots = make(chan struct{}, c.MaxConns)
	}
	l.conn = connwrap.Config{
		Network:        network,
		NoHalfOpen:     c.NoHalfOpen,
		PauseOnConnect: c.PauseOnConnect,
		Late:           !c.PauseOnConnect,
		OnClose:        l.connClosed,
	}
	if !isWildcard(local) {
		l.conn.Local = local
	}
	return l
}

// newSocketListener makes a Listener of a listening socket; asked is the backlog
// that was asked for, or 0 if somebody else did that.
func (c Config) newSocketListener(network string, fd sock.FD, asked int) (*Listener, error) {
	local, err := fd.Getsockname()
	if err != nil {
		return nil, err
	}
	t := sock.Stream
	if network == "unixpacket" {
		t = sock.SeqPacket
	}
	l := c.newListener(network, local.NetAddr(t), local, fd)
	l.noteBacklog(fd, asked)
	return l, nil
}

// isWildcard reports whether connections have other local addresses than the
// listener's.
func isWildcard(a sock.Addr) bool {
	switch a.Family() {
	case sock.Inet, sock.Inet6:
		return a.AddrPort().Addr().IsUnspecified()
	case sock.Vsock:
		return a.CID() == unix.VMADDR_CID_ANY
	}
	return false
}

// Addr is the local address: a *[net.TCPAddr], a *[net.UnixAddr], or a
// [sock.Addr] for vsock. Do not modify it.
func (l *Listener) Addr() net.Addr { return l.addr }

// Fallback says why a wildcard listener has only IPv4: the error of the attempt
// with IPv6. It is nil for any other.
func (l *Listener) Fallback() error { return l.fallback }

// Counters are what the listener counts in.
func (l *Listener) Counters() *Counters { return l.counters }

// SetDeadline sets when Accept, also one that waits already, gives up with
// [os.ErrDeadlineExceeded]. The zero Time is none.
func (l *Listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, err := l.waiterLocked()
	if err == nil {
		l.deadline.set(t)
		err = w.setDeadline(t)
	}
	if err != nil {
		return l.opError("set", err)
	}
	return nil
}

// Close stops listening, and unlinks the file of a unix socket unless the path
// has become another's. Accept calls that wait return [net.ErrClosed].
// Connections that nobody has accepted are lost, unless another process holds
// the socket too; accepted ones go on.
func (l *Listener) Close() error {
	err := l.shut()
	if err == nil {
		l.file.remove()
		for _, s := range l.sources {
			if e := s.Descriptor().Close(); err == nil {
				err = e
			}
		}
	}
	if err != nil {
		return l.opError("close", err)
	}
	return nil
}

// Release ends the Listener without closing its socket, which goes on listening
// and now belongs to the caller, as does the file of a unix socket. What waits
// in the queue stays there. Accept calls that wait return [net.ErrClosed].
// errors.ErrUnsupported: it has other sources than one listening socket.
func (l *Listener) Release() (sock.FD, error) {
	l.mu.RLock()
	fd, err := l.socketLocked()
	if err == nil && len(l.sources) > 1 {
		err = errNoSocket
	}
	l.mu.RUnlock()
	if err == nil {
		err = l.shut()
	}
	if err != nil {
		return sock.None, l.opError("release", err)
	}
	return fd, nil
}

// shut ends all Accept calls and whatever they wait with, once. From then on
// nobody else uses the sources.
func (l *Listener) shut() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.closed = true
	close(l.done)
	w := l.wait
	l.mu.Unlock()

	if w != nil {
		w.interrupt()
	}
	l.accepting.Lock()
	defer l.accepting.Unlock()
	if w != nil {
		w.close()
	}
	return nil
}

func (l *Listener) opError(op string, err error) error {
	return opError(op, l.network, l.addr, err)
}
