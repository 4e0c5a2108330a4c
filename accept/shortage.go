package accept

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

const (
	firstRetry  = 5 * time.Millisecond
	lastRetry   = 100 * time.Millisecond
	shedBurst   = 16 // connections shed per source and retry
	reportEvery = 5 * time.Second
)

// A shortage is a time without descriptors, or without memory.
type shortage struct {
	starved []*Listener   // out of the epoll set though something waits in them
	since   time.Time     // when one starved first, or an accept succeeded last
	delay   time.Duration // between retries
	next    time.Time     // when to retry; zero: there is no shortage

	// A descriptor to give up so that a connection can be accepted, if only to
	// be closed. None while another goroutine has been faster to get its number.
	reserve sock.FD

	failed, shed report
}

// openReserve opens a descriptor with an open file of its own, so that closing
// it helps with ENFILE too, and that needs no file system.
func openReserve() (sock.FD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return sock.None, os.NewSyscallError("eventfd", err)
	}
	return sock.FD(fd), nil
}

// timeout is how long epoll_wait may block; negative: for ever.
func (s *shortage) timeout() time.Duration {
	if s.next.IsZero() {
		return -1
	}
	return max(0, time.Until(s.next))
}

func (s *shortage) due() bool { return !s.next.IsZero() && !time.Now().Before(s.next) }

// relieved notes that an accept has succeeded.
func (s *shortage) relieved() {
	if !s.since.IsZero() {
		s.since = time.Now()
		s.delay = firstRetry
	}
}

// starve takes a source that can't be accepted from out of the epoll set, which
// would report it at once and for ever, until the next retry.
func (l *Loop) starve(ls *Listener, err error) {
	l.exhausted.Add(1)
	s := &l.shortage
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
	}
	if s.next.IsZero() {
		s.delay = firstRetry
		s.next = now.Add(s.delay)
	}
	l.mu.Lock()
	if !ls.starved {
		ls.starved = true
		s.starved = append(s.starved, ls)
		ls.settle()
	}
	l.mu.Unlock()
	if n := s.failed.add(1, now); n > 0 {
		l.opts.Logger.Warn("accept: out of descriptors or memory; connections wait in the kernel's queue",
			"error", err, "failed", n)
	}
}

// retry tries the starved sources again. It asks whether something waits first:
// without descriptors accept4 says EMFILE even when nothing does.
func (l *Loop) retry() {
	s := &l.shortage
	if s.reserve == sock.None {
		s.reserve, _ = openReserve()
	}
	s.delay = min(2*s.delay, lastRetry)
	for range len(s.starved) {
		ls := s.starved[0]
		s.starved = s.starved[1:]
		l.mu.Lock()
		ls.starved = false
		l.mu.Unlock()
		if ls.wanted() && epoll.Readable(ls.fd) {
			l.serve(ls)
		}
		l.settle(ls)
	}
	now := time.Now()
	switch {
	case len(s.starved) == 0:
		s.since = time.Time{}
	case l.opts.ShedAfter >= 0 && now.Sub(s.since) >= l.opts.ShedAfter:
		l.shedSome(now)
	}
	s.next = time.Time{}
	if len(s.starved) > 0 || s.reserve == sock.None {
		s.next = now.Add(s.delay)
	} else if n := s.shed.flush(); n > 0 {
		l.logShed(n)
	}
}

// shedSome closes some connections of every starved listening socket, oldest
// first, with the number that the reserve leaves free.
func (l *Loop) shedSome(now time.Time) {
	s := &l.shortage
	if s.reserve == sock.None {
		return
	}
	s.reserve.Close()
	n := 0
	for _, ls := range s.starved {
		n += ls.shed()
	}
	s.reserve, _ = openReserve()
	if n == 0 {
		return
	}
	l.shed.Add(int64(n))
	if l.opts.OnShed != nil {
		l.opts.OnShed(n)
	}
	if n := s.shed.add(n, now); n > 0 {
		l.logShed(n)
	}
}

func (l *Loop) logShed(n int) {
	l.opts.Logger.Warn("accept: no descriptor came free; closed connections unserved", "shed", n)
}

// shed closes up to shedBurst connections that wait. It leaves alone sources
// other than listening sockets: who fills a queue can take back what is in it.
func (ls *Listener) shed() (n int) {
	if !ls.listens {
		return 0
	}
	ls.calling.Lock()
	defer ls.calling.Unlock()
	for range shedBurst {
		if !ls.wanted() {
			break
		}
		conn, _, err := ls.fd.Accept()
		if err != nil {
			break
		}
		conn.Close()
		n++
	}
	return n
}

// A report counts what is logged once in reportEvery at most.
type report struct {
	at time.Time
	n  int
}

// add counts n more and returns how many to report now; 0: none yet.
func (r *report) add(n int, now time.Time) int {
	r.n += n
	if now.Sub(r.at) < reportEvery {
		return 0
	}
	r.at = now
	return r.flush()
}

// flush returns what isn't reported yet.
func (r *report) flush() (n int) {
	n, r.n = r.n, 0
	return n
}
