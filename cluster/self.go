package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// self is this process as a worker.
type self struct {
	id       int
	channel  link
	board    *board
	bell     sock.FD // tells the primary that there is room
	pipe     sock.FD // what this process writes to its standard error, for the primary
	stderr   sock.FD // the primary's
	drain    time.Duration
	ending   chan struct{} // closed: no new connections
	draining chan struct{} // closed: nothing waits any more either
	done     chan struct{} // closed: and all connections are over

	mu        sync.Mutex
	replies   map[uint64]chan reply
	seq       uint64
	indexes   map[key]bool // in use
	listeners map[*listener]bool
	packets   map[*packetConn]bool
	broken    error          // the channel's end
	asking    sync.WaitGroup // listeners on their way; none begins after ending

	inbox     chan heard
	heard     atomic.Bool // somebody takes from inbox
	listening atomic.Pointer[func(json.RawMessage, sock.FD)]
}

// reply is what the primary says to a listen.
type reply struct {
	message
	fds []sock.FD
}

// worker is this process's self. It speaks to the primary when it is first
// asked for.
var worker = sync.OnceValues(newSelf)

func newSelf() (*self, error) {
	if !born.worker {
		return nil, errors.New("cluster: this process is no worker")
	}
	if born.err != nil {
		return nil, fmt.Errorf("cluster: %w", born.err)
	}
	if born.node != nil {
		s, err := newNodeSelf(born.node)
		if err != nil {
			return nil, fmt.Errorf("cluster: the Node primary: %w", err)
		}
		return s, nil
	}
	c, err := newChannel(born.channel)
	if err != nil {
		return nil, fmt.Errorf("cluster: the channel to the primary: %w", err)
	}
	s := bareSelf()
	s.channel = c
	if err := s.greet(c); err != nil {
		c.close()
		return nil, fmt.Errorf("cluster: the primary: %w", err)
	}
	go s.serve()
	return s, nil
}

// bareSelf is a self that doesn't know its primary yet.
func bareSelf() *self {
	return &self{
		ending: make(chan struct{}), draining: make(chan struct{}), done: make(chan struct{}), inbox: make(chan heard, maxInbox),
		replies: map[uint64]chan reply{}, indexes: map[key]bool{}, listeners: map[*listener]bool{}, packets: map[*packetConn]bool{},
	}
}

func (s *self) greet(c *channel) error {
	c.conn.SetReadDeadline(time.Now().Add(sendTimeout))
	m, fds, err := c.receive()
	if err != nil {
		return err
	}
	c.conn.SetReadDeadline(time.Time{})
	switch {
	case m.Op != opHello || len(fds) != 4:
		closeAll(fds)
		return fmt.Errorf("it began with %q and %d descriptors", m.Op, len(fds))
	case m.Version != protocolVersion:
		closeAll(fds)
		return fmt.Errorf("it speaks version %d of the channel, this worker %d: build both with the same onconn",
			m.Version, protocolVersion)
	}
	s.id, s.drain, s.bell, s.pipe, s.stderr = m.ID, m.Drain, fds[1], fds[2], fds[3]
	s.board, err = openBoard(fds[0])
	fds[0].Close()
	if err != nil {
		return err
	}
	s.board.header().alive.Store(monotonic())
	return c.send(message{Op: opOnline, Version: protocolVersion})
}

// serve handles the primary's messages until the channel ends: with the
// primary's death, if not with this worker's.
func (s *self) serve() {
	for {
		m, fds, err := s.channel.receive()
		if err != nil {
			s.orphaned(err)
			return
		}
		switch m.Op {
		case opReply:
			s.replied(reply{m, fds})
			continue
		case opDisconnect:
			s.end()
		case opPing:
			s.answer()
		case opUser:
			s.hear(m.Data, fds)
			s.channel.rest()
			continue
		}
		closeAll(fds)
	}
}

func (s *self) replied(r reply) {
	s.mu.Lock()
	c := s.replies[r.Seq]
	delete(s.replies, r.Seq)
	s.mu.Unlock()
	if c == nil {
		closeAll(r.fds)
		return
	}
	c <- r
}

// ask sends m and waits for its reply.
func (s *self) ask(m message) (reply, error) {
	c := make(chan reply, 1)
	s.mu.Lock()
	if s.broken != nil {
		s.mu.Unlock()
		return reply{}, s.broken
	}
	s.seq++
	m.Seq = s.seq
	s.replies[m.Seq] = c
	s.mu.Unlock()
	if err := s.channel.send(m); err != nil {
		s.mu.Lock()
		delete(s.replies, m.Seq)
		s.mu.Unlock()
		return reply{}, err
	}
	r, ok := <-c
	if !ok {
		return reply{}, s.broken
	}
	return r, nil
}

// heard is a message for the program, with its descriptor or None.
type heard struct {
	data json.RawMessage
	fd   sock.FD
}

// hear keeps a message for the user's function. While there is none, messages
// beyond maxInbox are lost; else they wait for it.
func (s *self) hear(data json.RawMessage, fds []sock.FD) {
	m := heard{data, sock.None}
	if len(fds) > 0 {
		m.fd = fds[0]
		closeAll(fds[1:])
	}
	if s.heard.Load() {
		s.inbox <- m
		return
	}
	select {
	case s.inbox <- m:
	default:
		closeAll(fds[:min(len(fds), 1)])
	}
}

// maxInbox bounds the messages that wait for the program.
const maxInbox = 1024

// onMessage has f called with each message, on a goroutine of its own, so that f
// may ask the primary for something.
func (s *self) onMessage(f func(json.RawMessage, sock.FD)) {
	s.listening.Store(&f)
	if !s.heard.Swap(true) {
		go func() {
			for m := range s.inbox {
				(*s.listening.Load())(m.data, m.fd)
			}
		}()
	}
}

// orphaned: there is no primary any more. This process drains and exits, even
// if its program doesn't know how.
func (s *self) orphaned(err error) {
	s.mu.Lock()
	s.broken = fmt.Errorf("the primary is gone: %w", err)
	for _, c := range s.replies {
		close(c)
	}
	clear(s.replies)
	s.mu.Unlock()
	s.end()
	if s.pipe != sock.None {
		go s.keepStderr() // which may wait for who reads it
	}
	select {
	case <-s.done:
	case <-time.After(s.drain):
	}
	time.Sleep(orphanGrace)
	os.Exit(0)
}

// keepStderr goes on writing to where the primary had relayed it. This process
// holds the pipe's other end too, so that it was never broken.
func (s *self) keepStderr() {
	unix.Dup3(int(s.stderr), 2, 0)
	var buf [4096]byte
	for {
		n, err := s.pipe.Read(buf[:])
		if n <= 0 || err != nil {
			return
		}
		s.stderr.Write(buf[:n])
	}
}

// orphanGrace is how long a worker without a primary and without connections
// leaves its program to end by itself.
const orphanGrace = time.Second
