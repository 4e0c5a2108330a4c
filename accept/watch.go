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
	if missing := int(fd) + 1 - len(l.watches); missing > 0 {
		l.watches = append(l.watches, make([]watch, missing)...)
	}
	l.lastTag = l.lastTag%math.MaxInt32 + 1
	err := error(unix.ENOENT)
	if l.watches[fd].f != nil {
		err = l.poll.ModTag(fd, events, l.lastTag)
	}
	if errors.Is(err, unix.ENOENT) { // closing a descriptor takes it out too
		err = l.poll.AddTag(fd, events, l.lastTag)
	}
	if err != nil {
		return fmt.Errorf("accept: watching descriptor %d: %w", fd, err)
	}
	l.watches[fd] = watch{f, l.lastTag}
	return nil
}

// Unwatch ends Watch. It does nothing if fd isn't watched.
func (l *Loop) Unwatch(fd sock.FD) {
	if l.watched(fd) {
		l.poll.Del(fd)
		l.watches[fd].f = nil
	}
}

// forget drops a watch whose descriptor was closed without Unwatch, as its
// number's being given to a new connection shows.
func (l *Loop) forget(fd sock.FD) {
	if l.watched(fd) {
		l.watches[fd].f = nil
	}
}

func (l *Loop) watched(fd sock.FD) bool {
	return 0 <= fd && int(fd) < len(l.watches) && l.watches[fd].f != nil
}

// ready calls the watch of fd, if it is still the one that the event is for.
func (l *Loop) ready(fd sock.FD, tag int32, events uint32) {
	if w := l.watches[fd]; w.tag == tag && w.f != nil {
		w.f(fd, events)
	}
}
