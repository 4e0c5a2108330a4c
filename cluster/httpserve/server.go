package httpserve

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"onconn/cluster"
)

// ErrCutOff is the result of a drain that was not over at its timeout.
var ErrCutOff = errors.New("httpserve: connections were cut off")

// Serve serves connections of ln, as srv.Serve does, until this worker is asked
// to go ([cluster.Draining]) and its connections are over. For more than one
// listener, or other times than the default ones, use a [Server].
func Serve(srv *http.Server, ln net.Listener) error { return (&Server{HTTP: srv}).Serve(ln) }

// ServeTLS is Serve for srv.ServeTLS.
func ServeTLS(srv *http.Server, ln net.Listener, certFile, keyFile string) error {
	return (&Server{HTTP: srv}).ServeTLS(ln, certFile, keyFile)
}

// A Server is an http.Server that can be drained. Its fields must not be changed
// after the first Serve.
type Server struct {
	// HTTP is the server. Serve sets its Handler and ConnState to functions that
	// call those which were there, and TLSNextProto if there is none. It belongs
	// to one Server.
	HTTP *http.Server

	// Begin begins the drain when it is closed. Nil: cluster.Draining().
	Begin <-chan struct{}

	// Timeout is how long after that connections are cut off. 0: nine tenths of
	// [cluster.DrainTimeout], or of [cluster.DefaultDrainTimeout] in no worker.
	Timeout time.Duration

	// Grace is how long a connection stays open without a request in the drain.
	// 0: half of Timeout, but at most 5 s. Without such a connection a drain
	// doesn't wait for it.
	Grace time.Duration

	once    sync.Once
	err     error // of prepare
	begin   <-chan struct{}
	timeout time.Duration
	grace   time.Duration
	handler http.Handler
	http2   *http.Server // knows the HTTP/2 connections; nil if there can't be any
	begun   sync.Once

	mu    sync.Mutex
	conns map[*conn]bool
	over  *sync.Cond // a connection is
	late  *time.Timer
	cut   int // how many were, at the timeout
}

// Serve serves connections of ln, which it closes in the end. It may be called
// for several listeners. It returns nil after a drain, when the connections of
// all listeners are over; [os.ErrDeadlineExceeded] if some had to be cut off; or
// the error of http.Server.Serve. A listener of crypto/tls is refused: use
// ServeTLS.
func (s *Server) Serve(ln net.Listener) error {
	return s.serve(&listener{Listener: ln, server: s}, s.HTTP.Serve)
}

// ServeTLS is Serve for http.Server.ServeTLS.
func (s *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	return s.serve(&listener{Listener: ln, server: s, tls: true}, func(ln net.Listener) error {
		return s.HTTP.ServeTLS(ln, certFile, keyFile)
	})
}

func (s *Server) serve(ln *listener, serve func(net.Listener) error) error {
	defer ln.Close()
	if s.once.Do(s.prepare); s.err != nil {
		return s.err
	}
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-s.begin:
			s.drain()
			ln.Close()
		case <-ended:
		}
	})
	err := serve(ln)
	close(ended)
	watch.Wait()
	if !s.draining() || !errors.Is(err, net.ErrClosed) {
		return err
	}
	s.drain()
	return s.wait()
}

// maxGrace limits the default grace. Clients that think for longer between two
// requests are rare, and others wait for the end of the drain.
const maxGrace = 5 * time.Second

func (s *Server) prepare() {
	s.begin, s.timeout, s.grace = s.Begin, s.Timeout, s.Grace
	if s.begin == nil {
		s.begin = cluster.Draining()
	}
	if s.timeout == 0 {
		s.timeout = cluster.DrainTimeout()
		if s.timeout == 0 {
			s.timeout = cluster.DefaultDrainTimeout
		}
		s.timeout = s.timeout / 10 * 9
	}
	if s.grace == 0 {
		s.grace = min(s.timeout/2, maxGrace)
	}
	if s.timeout < 0 || s.grace < 0 {
		s.err = fmt.Errorf("httpserve: Timeout %v and Grace %v can't be negative", s.Timeout, s.Grace)
		return
	}
	s.conns = map[*conn]bool{}
	s.over = sync.NewCond(&s.mu)
	if s.handler = s.HTTP.Handler; s.handler == nil {
		s.handler = http.DefaultServeMux
	}
	s.HTTP.Handler = http.HandlerFunc(s.handle)
	tell := s.HTTP.ConnState
	s.HTTP.ConnState = func(nc net.Conn, state http.ConnState) {
		if c := managed(nc); c != nil {
			c.changed(state)
		}
		if state == http.StateIdle && s.draining() {
			s.goAway() // to one of HTTP/2 that is new
		}
		if tell != nil {
			tell(nc, state)
		}
	}
	s.err = s.prepareHTTP2()
}

// draining reports whether the drain was begun.
func (s *Server) draining() bool {
	select {
	case <-s.begin:
		return true
	default:
		return false
	}
}

// drain begins the drain, once.
func (s *Server) drain() {
	s.begun.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.late = time.AfterFunc(s.timeout, s.cutOff)
		s.goAway()
		for c := range s.conns {
			c.leave()
		}
	})
}

// wait waits until all connections are over.
func (s *Server) wait() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		s.over.Wait()
	}
	s.late.Stop()
	if s.cut > 0 {
		return fmt.Errorf("%w: %d after %v", ErrCutOff, s.cut, s.timeout)
	}
	return nil
}

// cutOff ends what the drain's time was too short for.
func (s *Server) cutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.cutOff() {
			s.cut++
		}
		delete(s.conns, c)
	}
	s.over.Broadcast()
}

func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
	if s.draining() {
		c.leave()
	}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.over.Broadcast()
}
