package listen

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// A waiter waits until one of the listener's sources has a connection.
type waiter interface {
	// next takes a connection and waits while there is none. One call at a
	// time: accepting is held.
	next() (sock.FD, sock.Addr, error)

	setDeadline(time.Time) error

	// forget stops waiting for a source.
	forget(sock.Source)

	// interrupt makes next return for good. close comes last.
	interrupt()
	close()
}

// waiterLocked makes the waiter when it is first needed.
func (l *Listener) waiterLocked() (waiter, error) {
	if l.closed {
		return nil, net.ErrClosed
	}
	if l.wait != nil {
		return l.wait, nil
	}
	var w waiter
	var err error
	if l.cfg.Shared {
		w, err = newExclusive(l)
	} else {
		w, err = newPolled(l)
	}
	if err == nil {
		l.wait = w
	}
	return w, err
}

// polled waits in the runtime's poller: for the one source itself, or for an
// epoll instance with all of them in it.
type polled struct {
	l    *Listener
	poll *epoll.Poll // nil with one source
	file *os.File    // owns a duplicate of what is waited for
	raw  syscall.RawConn
	try  func(uintptr) bool // take, made once so that Accept needs no closure

	fd   sock.FD // what try got
	peer sock.Addr
	err  error

	sure int // accepts that may be made before O_NONBLOCK is asked for again
}

func newPolled(l *Listener) (*polled, error) {
	p := &polled{l: l}
	target, err := p.target()
	if err != nil {
		return nil, err
	}
	// A duplicate, so that the descriptor itself can be released: an os.File
	// can only be closed.
	dup, err := target.Dup()
	if err != nil {
		p.close()
		return nil, err
	}
	p.file = os.NewFile(uintptr(dup), "listener")
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		p.close()
		return nil, err
	}
	p.try = p.take
	return p, nil
}

// target is what becomes readable when a connection waits.
func (p *polled) target() (sock.FD, error) {
	if len(p.l.sources) == 1 {
		return p.l.sources[0].Descriptor(), nil
	}
	poll, err := newPoll(p.l.sources, unix.EPOLLIN)
	if err != nil {
		return sock.None, err
	}
	// os.NewFile gives only non-blocking descriptors to the poller.
	if err := unix.SetNonblock(int(poll.Descriptor()), true); err != nil {
		poll.Close()
		return sock.None, os.NewSyscallError("fcntl", err)
	}
	p.poll = poll
	return poll.Descriptor(), nil
}

func newPoll(sources []sock.Source, events uint32) (*epoll.Poll, error) {
	poll, err := epoll.New()
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if err := poll.Add(s.Descriptor(), events); err != nil {
			poll.Close()
			return nil, err
		}
	}
	return poll, nil
}

func (p *polled) next() (sock.FD, sock.Addr, error) {
	if err := p.raw.Read(p.try); err != nil {
		select {
		case <-p.l.done:
			err = net.ErrClosed // os says that a file is closed
		default:
		}
		return sock.None, sock.Addr{}, err
	}
	return p.fd, p.peer, p.err
}

// take reports whether it is done, with a connection or an error. It asks the
// sources and not the epoll instance, which the runtime's poller hears of each
// time that one becomes ready, whatever it holds already (ep_poll_callback).
func (p *polled) take(uintptr) bool {
	p.fd, p.peer, p.err = p.l.take(p.accept)
	if isAgain(p.err) {
		p.sure = 0
		return false
	}
	return true
}

// burst is how many connections are taken before O_NONBLOCK is asked for again,
// as after each wait: whoever shares the socket may clear it.
const burst = 64

// accept takes a connection, of the one listening socket by a call that isn't
// announced to the scheduler if it can't block.
func (p *polled) accept(s sock.Source) (sock.FD, sock.Addr, error) {
	fd, ok := s.(sock.FD)
	if !ok || p.poll != nil {
		return s.Accept()
	}
	if p.sure == 0 {
		if nonblocking, err := fd.Nonblocking(); err != nil || !nonblocking {
			return s.Accept()
		}
		p.sure = burst
	}
	p.sure--
	return fd.TryAccept()
}

func (p *polled) setDeadline(t time.Time) error { return p.file.SetReadDeadline(t) }

func (p *polled) forget(s sock.Source) {
	if p.poll != nil {
		p.poll.Del(s.Descriptor())
	}
}

func (p *polled) interrupt() { p.file.Close() }

func (p *polled) close() {
	if p.poll != nil {
		p.poll.Close()
	}
}
