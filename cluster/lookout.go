package cluster

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/internal/epoll"
	"onconn/sock"
)

// A lookout tells of the first connection that comes to a listening socket from
// which workers accept: until then nobody needs to look whether they do. It
// costs one wake-up after each quiet time, not one a connection.
type lookout struct {
	poll *epoll.Poll
	over chan struct{}

	mu    sync.Mutex
	calls map[sock.FD]func()
	ended bool
}

func newLookout() (*lookout, error) {
	poll, err := epoll.New()
	if err != nil {
		return nil, err
	}
	l := &lookout{poll: poll, over: make(chan struct{}), calls: map[sock.FD]func(){}}
	go l.run()
	return l, nil
}

func (l *lookout) run() {
	defer close(l.over)
	var events [16]unix.EpollEvent
	for {
		n, err := l.poll.Wait(events[:], -1)
		l.mu.Lock()
		var due []func()
		for _, e := range events[:max(n, 0)] {
			if f := l.calls[sock.FD(e.Fd)]; f != nil {
				due = append(due, f)
			}
		}
		ended := l.ended || err != nil
		l.mu.Unlock()
		if ended {
			return
		}
		for _, f := range due {
			f()
		}
	}
}

// once has f called when something waits on fd. It may be called again.
func (l *lookout) once(fd sock.FD, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const events = unix.EPOLLIN | unix.EPOLLONESHOT
	if l.calls[fd] != nil {
		l.poll.Mod(fd, events)
	} else {
		l.poll.Add(fd, events)
	}
	l.calls[fd] = f
}

// forget undoes once, before fd is closed.
func (l *lookout) forget(fd sock.FD) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[fd] != nil {
		l.poll.Del(fd)
		delete(l.calls, fd)
	}
}

func (l *lookout) close() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.poll.Wake()
	<-l.over
	l.poll.Close()
}

// A post is one listening socket under watch: whether workers take from its
// accept queue.
type post struct {
	fd     sock.FD
	taken  int64       // by workers, at the last look
	since  time.Time   // since when connections wait and none is taken
	active time.Time   // when it was not quiet
	tries  int         // looks at which they waited too long
	armed  atomic.Bool // the lookout will tell
}

// quiet is after how long without connections the looking ends.
const quiet = time.Second

// look reports whether connections have waited for stealAfter while none was
// taken, and again after ever longer times as long as that doesn't change.
func (o *post) look(taken int64, now time.Time) (stalled bool) {
	q, err := backlog.Of(o.fd)
	switch {
	case err != nil:
		return false
	case q.Depth == 0:
		o.since, o.tries = time.Time{}, 0
	case taken != o.taken || o.since.IsZero():
		o.since, o.tries = now, 0
	}
	if q.Depth > 0 || taken != o.taken || o.active.IsZero() {
		o.active = now
	}
	o.taken = taken
	if q.Depth == 0 || now.Sub(o.since) < stealAfter {
		return false
	}
	o.since = now
	o.tries++
	return true
}

// again is when to look again. When it is quiet the lookout takes over, which
// calls watch.
func (o *post) again(l *lookout, now time.Time, watch func()) time.Duration {
	switch {
	case o.tries > 4: // it didn't help
		return lookSlowly
	case now.Sub(o.active) < quiet:
		return lookEvery
	}
	if !o.armed.Swap(true) {
		l.once(o.fd, func() {
			o.armed.Store(false)
			watch()
		})
	}
	return never
}
