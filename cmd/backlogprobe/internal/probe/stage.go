package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/sock"
)

// A stage has what a demo opens.
type stage struct {
	show     func(Step)
	ns       *backlog.Namespace
	listener sock.FD
	target   Target
	view     *view
	closers  []func()
}

// later has something closed at the end of the demo.
func (s *stage) later(f func()) { s.closers = append(s.closers, f) }

func (s *stage) clear() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

func (s *stage) say(format string, args ...any) {
	s.show(Step{Says: fmt.Sprintf(format, args...)})
}

// see says something and shows the queues beside it.
func (s *stage) see(format string, args ...any) error {
	q, err := s.queue()
	if err != nil {
		return err
	}
	s.show(Step{fmt.Sprintf(format, args...), &q})
	return nil
}

func (s *stage) queue() (QueueFacts, error) {
	state, err := s.view.now()
	if err != nil {
		return QueueFacts{}, err
	}
	q := QueueFacts{Depth: state.depth, Limit: state.capacity - 1, Capacity: state.capacity}
	if s.target.Addr.Family() == sock.Unix {
		return q, nil
	}
	halfOpen, err := s.halfOpen()
	q.HalfOpen, q.Drops = &halfOpen, &state.drops
	return q, err
}

func (s *stage) halfOpen() (int, error) {
	rows, err := s.ns.HalfOpen(uint16(s.target.Addr.Port()))
	return len(rows), err
}

var loopback = sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))

// listen makes the listener of the demo, in place of an earlier one.
func (s *stage) listen(a sock.Addr, limit int) error {
	s.clear()
	fd, err := sock.Socket(a.Family(), sock.Stream, 0)
	if err != nil {
		return err
	}
	s.later(func() { fd.Close() })
	s.listener = fd
	if err := errors.Join(fd.Bind(a), fd.Listen(limit)); err != nil {
		return err
	}
	name, err := fd.Getsockname()
	if err != nil {
		return err
	}
	s.target = Target{name, true}
	if s.view, err = look(s.target); err != nil {
		return err
	}
	s.later(s.view.close)
	return nil
}

// connect lets ordinary clients come, and waits a moment for their answers.
func (s *stage) connect(ctx context.Context, n int) (*dialer, error) {
	d, err := newDialer(s.target.Addr, true)
	if err != nil {
		return nil, err
	}
	s.later(d.close)
	for range n {
		if err := d.open(); err != nil {
			return nil, err
		}
	}
	return d, d.settle(ctx, time.Now().Add(patience/2))
}

// raw makes clients whose segments we write ourselves.
func (s *stage) raw() (*clients, error) {
	c, err := newClients(s.target.Addr.AddrPort())
	if err == nil {
		s.later(c.close)
	}
	return c, err
}

// serve accepts and closes in a goroutine; after each interval it stalls.
func (s *stage) serve(interval, stall time.Duration) {
	quit, done := make(chan struct{}), make(chan struct{})
	s.later(func() { close(quit); <-done })
	go func() {
		defer close(done)
		for next := time.Now().Add(interval); ; {
			select {
			case <-quit:
				return
			default:
			}
			if stall > 0 && time.Now().After(next) {
				time.Sleep(stall)
				next = time.Now().Add(interval)
			}
			if conn, _, err := s.listener.Accept(); err == nil {
				conn.Close()
			} else {
				unix.Poll([]unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}, 5)
			}
		}
	}()
}

func sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0)
}

// until polls a condition for a time.
func until(ctx context.Context, wait time.Duration, cond func() bool) bool {
	for end := time.Now().Add(wait); ctx.Err() == nil && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return cond()
}
