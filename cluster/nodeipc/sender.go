package nodeipc

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"onconn/fdpass"
	"onconn/sock"
)

// A sender writes messages in their order. What the kernel doesn't take at once
// waits here, for a goroutine that runs as long as there is something.
type sender struct {
	raw syscall.RawConn

	mu      sync.Mutex
	queue   []piece
	size    int // bytes in queue
	owed    int // pieces in it that nobody waited to send
	writing bool
	err     error
	changed chan struct{} // closed when the queue has become shorter; nil if nobody waits
}

// A piece is so short that the kernel takes all of it or nothing: it is one skb
// (unix_stream_sendmsg). A descriptor goes with a message's first.
type piece struct {
	p    []byte
	fd   sock.FD // None; else the sender's own
	owed bool
}

const (
	pieceSize = 16 << 10
	// maxWaiting is how many bytes may wait here before a user's message has to.
	maxWaiting = 256 << 10
	// maxOwed is how many pieces of the protocol may wait. A peer that reads has
	// never so many: this one asks, and doesn't read the answers.
	maxOwed = 16 << 10
)

var errUnread = errors.New("nodeipc: the peer reads no answers")

// send writes p, with a duplicate of fd unless that is None. It doesn't wait: the
// messages of a protocol are bounded by what they answer. A peer that asks for ever
// more and reads nothing ends the channel.
func (s *sender) send(p []byte, fd sock.FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owed >= maxOwed {
		s.failLocked(errUnread)
	}
	return s.sendLocked(p, fd, true)
}

// sendFree is send for what was bounded before.
func (s *sender) sendFree(p []byte, fd sock.FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendLocked(p, fd, false)
}

func (s *sender) sendLocked(p []byte, fd sock.FD, owed bool) error {
	if s.err != nil {
		return s.err
	}
	for len(p) > 0 && len(s.queue) == 0 {
		k := piece{p: p[:min(len(p), pieceSize)], fd: fd}
		var err error
		if e := s.raw.Control(func(c uintptr) { err = k.write(sock.FD(c)) }); e != nil {
			err = e
		}
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			if fd == sock.None || !isShort(err) {
				s.failLocked(err)
			}
			return err
		}
		p, fd = p[len(k.p):], sock.None
	}
	return s.enqueueLocked(p, fd, owed)
}

// enqueueLocked leaves p for later.
func (s *sender) enqueueLocked(p []byte, fd sock.FD, owed bool) (err error) {
	if fd != sock.None {
		if fd, err = fd.Dup(); err != nil {
			return err
		}
	}
	for len(p) > 0 {
		k := piece{append([]byte(nil), p[:min(len(p), pieceSize)]...), fd, owed}
		s.queue = append(s.queue, k)
		s.size += len(k.p)
		if owed {
			s.owed++
		}
		p, fd = p[len(k.p):], sock.None
	}
	if len(s.queue) > 0 && !s.writing {
		s.writing = true
		go s.write()
	}
	return nil
}

// sendWaiting is send for what nobody bounds: it waits for room, but not longer
// than limit.
func (s *sender) sendWaiting(p []byte, limit time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.awaitLocked(func() bool { return s.size == 0 || s.size+len(p) <= maxWaiting }, limit) {
		return os.ErrDeadlineExceeded
	}
	return s.sendLocked(p, sock.None, false)
}

// flush waits until the kernel has everything.
func (s *sender) flush(limit time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.awaitLocked(func() bool { return s.size == 0 }, limit) {
		return os.ErrDeadlineExceeded
	}
	return s.err
}

// awaitLocked waits until enough is true, or the channel has failed. It unlocks
// meanwhile.
func (s *sender) awaitLocked(enough func() bool, limit time.Duration) bool {
	if enough() || s.err != nil {
		return true
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	for !enough() && s.err == nil {
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-late.C:
			s.mu.Lock()
			return false
		}
		s.mu.Lock()
	}
	return true
}

// write waits for room until the queue is empty, or the channel has ended.
func (s *sender) write() {
	err := s.raw.Write(func(c uintptr) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.writeLocked(sock.FD(c))
	})
	if err != nil {
		s.fail(err)
	}
}

// writeLocked reports whether there is nothing left to write.
func (s *sender) writeLocked(c sock.FD) bool {
	for len(s.queue) > 0 {
		k := s.queue[0]
		err := k.write(c)
		if errors.Is(err, syscall.EAGAIN) {
			return false
		}
		if err != nil {
			s.failLocked(err)
			break
		}
		k.close()
		s.queue = s.queue[1:]
		s.size -= len(k.p)
		if k.owed {
			s.owed--
		}
		s.tellLocked()
	}
	s.queue, s.writing = nil, false
	return true
}

func (k piece) write(c sock.FD) error {
	if k.fd == sock.None {
		return fdpass.Send(c, k.p)
	}
	return fdpass.Send(c, k.p, k.fd)
}

func (k piece) close() {
	if k.fd != sock.None {
		k.fd.Close()
	}
}

func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked(err)
}

// isShort reports whether the kernel has no memory for a message, or too many
// descriptors on their way (unix(7)): another time it may.
func isShort(err error) bool {
	return errors.Is(err, syscall.ETOOMANYREFS) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// failLocked ends sending, for the reason that came first, and receiving behind what
// has come: that is how who receives, and the peer, find out.
func (s *sender) failLocked(err error) {
	if s.err == nil {
		s.err = err
		s.raw.Control(func(c uintptr) { syscall.Shutdown(int(c), syscall.SHUT_RDWR) })
	}
	for _, k := range s.queue {
		k.close()
	}
	s.queue, s.size, s.owed = nil, 0, 0
	s.tellLocked()
}

func (s *sender) tellLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
