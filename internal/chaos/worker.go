package chaos

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
)

// workerConfig is what a worker is told.
type workerConfig struct {
	Journal string
	Run     uint32
	Fault   string // see fault
}

// grace is how long a worker that drains keeps idle connections. Its clients
// don't use one again that was idle for idleLimit, so none is cut in the face.
const grace = 3 * idleLimit

// An order is a message from the primary to a worker.
type order struct {
	Do  string // "stall", "crash", "exit"
	For time.Duration
}

// A server is the tiny one of a worker.
type server struct {
	cfg      workerConfig
	journal  *journal
	id       int
	draining <-chan struct{}
	stall    atomic.Int64
	crash    atomic.Bool
	exit     atomic.Bool
	handled  atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// workerMain is the role of a worker: it serves until it is asked to go.
func workerMain(cfg workerConfig) error {
	j, err := openJournal(cfg.Journal)
	if err != nil {
		return err
	}
	s := &server{cfg: cfg, journal: j, id: cluster.ID(), draining: cluster.Draining(), conns: map[net.Conn]bool{}}
	if err := cluster.OnMessage(s.obey); err != nil {
		return err
	}
	if cfg.Fault == "never" {
		return errors.New("told not to serve")
	}
	ln, err := cluster.Listen("tcp", address)
	if err != nil {
		return err
	}
	go s.drain()
	return s.accept(ln)
}

func (s *server) obey(data json.RawMessage) {
	var o order
	json.Unmarshal(data, &o)
	switch o.Do {
	case "stall":
		s.stall.Store(int64(o.For))
	case "crash":
		s.crash.Store(true)
	case "exit":
		s.exit.Store(true)
	}
}

func (s *server) accept(ln net.Listener) error {
	for {
		if d := s.stall.Swap(0); d > 0 {
			time.Sleep(time.Duration(d))
		}
		c, err := ln.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			time.Sleep(5 * time.Millisecond) // as net/http does
			continue
		default:
			return err
		}
		n := s.journal.take(c.RemoteAddr().(*net.TCPAddr).AddrPort(), s.id)
		if s.fault("twice") {
			s.journal.take(c.RemoteAddr().(*net.TCPAddr).AddrPort(), s.id)
		}
		go s.serve(c, n)
	}
}

// drain ends what is idle for longer than its client would use it.
func (s *server) drain() {
	<-s.draining
	time.Sleep(grace)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.SetReadDeadline(time.Now())
	}
}

func (s *server) add(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
}

func (s *server) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

var buffers = sync.Pool{New: func() any { b := make([]byte, maxMessage+1); return &b }}

// serve answers the requests of a connection.
func (s *server) serve(c net.Conn, n *note) {
	s.add(c)
	b := buffers.Get().(*[]byte)
	state := s.answerAll(c, n, *b)
	// Noted before it is done: a client that sees the end of a connection
	// whose note is open may take it for lost in the hands of a dead worker.
	n.end(state)
	s.remove(c)
	c.Close()
	buffers.Put(b)
}

func (s *server) answerAll(c net.Conn, n *note, b []byte) (state uint32) {
	for index := uint16(0); ; index++ {
		size, err := s.read(c, b)
		if err != nil {
			return noteBad
		}
		if size == 0 {
			return noteClosed
		}
		h, err := check(b[:size])
		if err != nil || h.run != s.cfg.Run || h.index != index {
			return noteBad
		}
		n.begin()
		s.fall()
		if s.fault("drop") {
			return noteClosed
		}
		last := h.flags&flagLast != 0
		h.magic, h.worker, h.flags = magicAnswer, uint32(s.id), 0
		if s.isDraining() {
			h.flags, last = flagClosing, true
		}
		h.put(b[:size])
		if s.fault("corrupt") {
			b[size-1] ^= 0x10
		}
		if _, err := c.Write(b[:size]); err != nil {
			return noteClosed
		}
		n.finish()
		if last {
			return noteClosed
		}
	}
}

// read reads one request: 0 at the end of the connection. An error is about what
// was sent.
func (s *server) read(c net.Conn, b []byte) (int, error) {
	got, looked := 0, false
	for {
		n, err := c.Read(b[got:])
		got += n
		size, bad := whole(b[:got], magicRequest)
		switch {
		case bad != nil:
			return 0, bad
		case size > 0 && got > size:
			return 0, errWrong
		case size > 0 && got == size:
			return size, nil
		case errors.Is(err, os.ErrDeadlineExceeded) && !looked:
			looked = true // once more, for what came just now
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
		case err != nil && got > 0:
			return 0, errWrong
		case err != nil:
			return 0, nil
		}
	}
}

// fall ends the process, if it was told to, with a request begun.
func (s *server) fall() {
	if s.crash.Load() {
		panic("chaos: told to crash")
	}
	if s.exit.Load() {
		unix.Kill(os.Getpid(), unix.SIGKILL) // as the kernel does without memory
		select {}
	}
}

func (s *server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// fault reports whether the server is to do something wrong now, so that a test
// can see that it is found: rarely, and only what it was made for.
func (s *server) fault(name string) bool {
	return s.cfg.Fault == name && s.handled.Add(1)%97 == 0
}

// address is where the primary listens: any port.
const address = "127.0.0.1:0"
