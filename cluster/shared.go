package cluster

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// sharedSocket: the workers accept from the primary's listening socket.
type sharedSocket struct {
	ln      *listen.Listener
	given   bool // to a program that knows only LISTEN_FDS
	lines   map[*Worker]*line
	past    int64 // what workers that have left had taken
	lookout *lookout
	post    post
	watch   func()
}

func newSharedSocket(p *Primary, ln *listen.Listener) *sharedSocket {
	return &sharedSocket{ln: ln, lines: map[*Worker]*line{}, lookout: p.lookout, post: post{fd: ln.Descriptor()}}
}

func (s *sharedSocket) address() net.Addr { return s.ln.Addr() }

func (s *sharedSocket) join(w *Worker, l *line) ([]sock.FD, error) {
	s.lines[w] = l
	s.watch()
	return []sock.FD{s.ln.Descriptor()}, nil
}

func (s *sharedSocket) vacate(int)                            {}
func (s *sharedSocket) quiet(int) func(context.Context) error { return nil }
func (s *sharedSocket) hold()                                 {}
func (s *sharedSocket) release()                              {}

func (s *sharedSocket) forListenFDs(*Worker) (sock.FD, error) {
	fd, first := s.ln.Descriptor(), !s.given
	s.given = true
	return fd, makeBlocking(fd, first)
}

// leave wakes the other workers if one is gone: the kernel may have woken just
// that one for a connection.
func (s *sharedSocket) leave(w *Worker, gone bool) {
	if l := s.lines[w]; l != nil {
		s.past += l.Accepted.Load()
		delete(s.lines, w)
	}
	if gone {
		s.wake()
	}
}

// wake wakes all workers that wait for the socket. The kernel wakes one for each
// connection (EPOLLEXCLUSIVE), which may be one that has gone, or is stopped.
// SHUT_WR ends nothing on a listening socket, but wakes all (inet_shutdown:
// sk_state_change).
func (s *sharedSocket) wake() {
	if fd := s.ln.Descriptor(); fd != sock.None {
		fd.Shutdown(unix.SHUT_WR)
	}
}

func (s *sharedSocket) onWait(watch func()) { s.watch = watch }

func (s *sharedSocket) look(now time.Time) time.Duration {
	if len(s.lines) == 0 || s.ln.Descriptor() == sock.None {
		return never
	}
	taken := s.past
	for _, l := range s.lines {
		taken += l.Accepted.Load()
	}
	if s.post.look(taken, now) {
		s.wake()
	}
	return s.post.again(s.lookout, now, s.watch)
}

// stop gives up the primary's own descriptor: the socket listens on until the
// last worker has taken what waits and closed its own.
func (s *sharedSocket) stop() { s.close() }

func (s *sharedSocket) waiting() int64             { return 0 }
func (s *sharedSocket) held(map[*Worker]int64) int { return 0 }
func (s *sharedSocket) room()                      {}

func (s *sharedSocket) sockets() map[int]sock.FD { return map[int]sock.FD{0: s.ln.Descriptor()} }

func (s *sharedSocket) close() {
	if fd := s.ln.Descriptor(); fd != sock.None {
		s.lookout.forget(fd)
	}
	s.ln.Close()
}
