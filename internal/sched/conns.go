package sched

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"onconn/accept"
	"onconn/reuseport/steer"
	"onconn/sock"
)

// service is the protocol's side of a worker. All is on the loop's goroutine.
type service struct {
	loop      *accept.Loop
	number    int
	published *steer.Publisher // nil where nobody steers by it
}

// newService makes a worker's loop. It takes one connection and then looks at
// the others again: one that works between two accepts would keep a burst
// waiting for all of it.
func newService(number int, published *steer.Publisher) (*service, error) {
	loop, err := accept.New(accept.Options{Burst: 1})
	return &service{loop, number, published}, err
}

// beat publishes that the loop turns, now and as often as given.
func (s *service) beat(every time.Duration, done <-chan struct{}) {
	s.loop.Post(s.published.Beat)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.loop.Post(s.published.Beat)
		case <-done:
			return
		}
	}
}

func (s *service) connected(fd sock.FD, _ sock.Addr) {
	if s.published != nil {
		s.published.Counters().Accepted.Add(1)
		s.published.Counters().Active.Add(1)
	}
	// Often the request is there already.
	if !s.serve(fd) || s.loop.Watch(fd, unix.EPOLLIN, s.readable) != nil {
		s.close(fd)
	}
}

func (s *service) readable(fd sock.FD, _ uint32) {
	if !s.serve(fd) {
		s.loop.Unwatch(fd)
		s.close(fd)
	}
}

// serve answers what has arrived, and reports whether the connection goes on.
func (s *service) serve(fd sock.FD) bool {
	var m message
	n, err := fd.Read(m[:])
	if errors.Is(err, unix.EAGAIN) {
		return true
	}
	if err != nil || n != messageSize {
		return false
	}
	cpu, last := m.request()
	burn(cpu)
	if s.published != nil {
		s.published.Beat()
	}
	reply := answer(s.number)
	_, err = fd.Write(reply[:])
	return err == nil && !last
}

func (s *service) close(fd sock.FD) {
	fd.Close()
	if s.published != nil {
		s.published.Counters().Active.Add(-1)
	}
}
