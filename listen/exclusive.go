package listen

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// exclusive waits in an epoll instance of its own with EPOLLEXCLUSIVE, so that
// the kernel wakes one of the processes that share a socket. That must be a
// thread blocked in epoll_wait: an instance inside of the runtime's poller says
// that it woke nobody (ep_poll_callback), and so all are woken.
type exclusive struct {
	l    *Listener
	poll *epoll.Poll
	took bool // a connection since it began to wait
}

const exclusively = unix.EPOLLIN | unix.EPOLLEXCLUSIVE

func newExclusive(l *Listener) (*exclusive, error) {
	poll, err := newPoll(l.sources, exclusively)
	if err != nil {
		return nil, err
	}
	return &exclusive{l: l, poll: poll}, nil
}

func (x *exclusive) next() (sock.FD, sock.Addr, error) {
	for {
		timeout, err := x.timeout()
		if err != nil {
			return sock.None, sock.Addr{}, err
		}
		fd, peer, err := x.l.take(sock.Source.Accept)
		if !isAgain(err) {
			x.took = x.took || err == nil
			return fd, peer, err
		}
		if err := x.wait(timeout); err != nil {
			return sock.None, sock.Addr{}, err
		}
	}
}

// wait waits behind the processes that wait already, if this one took a
// connection. The kernel wakes from the front, and without that the first one
// would get every connection that comes while it is idle.
func (x *exclusive) wait(timeout time.Duration) error {
	if x.took {
		for _, s := range x.l.sources {
			x.poll.Del(s.Descriptor())
			if err := x.poll.Add(s.Descriptor(), exclusively); err != nil {
				return err
			}
		}
		x.took = false
	}
	var events [1]unix.EpollEvent
	_, err := x.poll.Wait(events[:], timeout)
	return err
}

// timeout is how long to wait at most, negative for ever.
func (x *exclusive) timeout() (time.Duration, error) {
	select {
	case <-x.l.done:
		return 0, net.ErrClosed
	default:
	}
	if x.l.finishing.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	at, _ := x.l.deadline.get()
	if at.IsZero() {
		return -1, nil
	}
	left := time.Until(at)
	if left <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return min(left, time.Hour), nil // epoll_wait takes milliseconds as an int
}

func (x *exclusive) setDeadline(time.Time) error {
	x.poll.Wake()
	return nil
}

func (x *exclusive) forget(s sock.Source) { x.poll.Del(s.Descriptor()) }

func (x *exclusive) interrupt() { x.poll.Wake() }

func (x *exclusive) close() { x.poll.Close() }
