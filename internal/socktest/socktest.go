// Package socktest makes a source of connections fail on demand.
package socktest

import (
	"os"
	"sync"
	"syscall"

	"onconn/sock"
)

// A Source passes on what another source yields, but for the errors that Fail
// ordered. Its methods may be called from any goroutine.
type Source struct {
	src sock.Source

	mu     sync.Mutex
	faults []fault
	counts Counts
}

// Counts says how the calls of Accept ended.
type Counts struct {
	Accepted int // with a connection
	Injected int // with an error of Fail's
	Failed   int // with an error of the source itself, EAGAIN included
}

type fault struct {
	err  error
	left int // negative: for ever
}

// Wrap makes a Source that doesn't fail yet.
func Wrap(src sock.Source) *Source { return &Source{src: src} }

// Fail has the next n calls of Accept end with err, after those that were
// ordered before; a negative n means until Heal. An errno is wrapped as
// [sock.FD.Accept] would.
func (s *Source) Fail(err error, n int) {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError("accept4", errno)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fault{err, n})
}

// Heal cancels what Fail has ordered.
func (s *Source) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Counts returns the counts so far.
func (s *Source) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Accept implements [sock.Source].
func (s *Source) Accept() (sock.FD, sock.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault(); err != nil {
		s.counts.Injected++
		return sock.None, sock.Addr{}, err
	}
	fd, peer, err := s.src.Accept()
	if err != nil {
		s.counts.Failed++
	} else {
		s.counts.Accepted++
	}
	return fd, peer, err
}

// Descriptor implements [sock.Source].
func (s *Source) Descriptor() sock.FD { return s.src.Descriptor() }

func (s *Source) fault() error {
	for len(s.faults) > 0 && s.faults[0].left == 0 {
		s.faults = s.faults[1:]
	}
	if len(s.faults) == 0 {
		return nil
	}
	if s.faults[0].left > 0 {
		s.faults[0].left--
	}
	return s.faults[0].err
}
