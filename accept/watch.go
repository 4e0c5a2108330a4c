package accept

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A watch is 16 bytes, all that a connection which waits costs in user space.
type watch struct {
	f   func(sock.FD, uint32)
	tag int32
}

// watches are indexed by descriptor, in pages that stay where they are: a slice
// that grows leaves several times its size behind.
type watches []*[pageSize]watch

const pageSize = 512

// at is the place of fd; nil: it has none yet.
func (w watches) at(fd sock.FD) *watch {
	if n := uint(fd) / pageSize; n < uint(len(w)) && w[n] != nil {
		return &w[n][uint(fd)%pageSize]
	}
	return nil
}

// place is at, and makes it.
func (w *watches) place(fd sock.FD) *watch {
	n := int(fd) / pageSize
	if missing := n + 1 - len(*w); missing > 0 {
		*w = append(*w, make(watches, missing)...)
	}
	if (*w)[n] == nil {
		(*w)[n] = new([pageSize]watch)
	}
	return w.at(fd)
}

// Watch has f called with fd and what it is ready for whenever it is ready for
// one of events (EPOLLIN, EPOLLOUT, EPOLLRDHUP..., see epoll_ctl(2); EPOLLERR
// and EPOLLHUP always are among them), until Unwatch. Watching again changes
// events and f. One f can serve all connections.
//
// The loop never closes fd: its owner does, which ends the watch too. Before it is
// handed on, or closed while a duplicate is open, here or in another process, call
// Unwatch: the duplicate would go on waking the loop. A connection that is given the
// number of one just closed isn't told of the other's events.
//
// Watch and Unwatch belong to the loop's goroutine: call them from callbacks,
// through [Loop.Post], or while the loop doesn't run.
func (l *Loop) Watch(fd sock.FD, events uint32, f func(fd sock.FD, events uint32)) error {
	if fd < 0 || f == nil {
		return errors.New("accept: Watch needs a descriptor and a callback")
	}
	w := l.watches.place(fd)
	l.lastTag = l.lastTag%math.MaxInt32 + 1
	err := error(unix.ENOENT)
	if w.f != nil {
		err = l.poll.ModTag(fd, events, l.lastTag)
	}
	if errors.Is(err, unix.ENOENT) { // closing a descriptor takes it out too
		err = l.poll.AddTag(fd, events, l.lastTag)
	}
	if err != nil {
		return fmt.Errorf("accept: watching descriptor %d: %w", fd, err)
	}
	*w = watch{f, l.lastTag}
	return nil
}

// Unwatch ends Watch. It does nothing if fd isn't watched.
func (l *Loop) Unwatch(fd sock.FD) {
	if w := l.watches.at(fd); w != nil && w.f != nil {
		l.poll.Del(fd)
		w.f = nil
	}
}

// forget drops a watch whose descriptor was closed without Unwatch, as its
// number's being given to a new connection shows.
func (l *Loop) forget(fd sock.FD) {
	if w := l.watches.at(fd); w != nil {
		w.f = nil
	}
}

// ready calls the watch of fd, if it is still the one that the event is for.
func (l *Loop) ready(fd sock.FD, tag int32, events uint32) {
	if w := l.watches.at(fd); w != nil && w.tag == tag && w.f != nil {
		w.f(fd, events)
	}
}
