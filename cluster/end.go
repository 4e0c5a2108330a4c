package cluster

import (
	"context"
	"slices"
	"time"
)

// tick is how often a worker that goes looks whether its connections are over.
const tick = 10 * time.Millisecond

// end begins this worker's end, in three steps. ending: its listeners take what
// waits and no more. draining: that is done, and the program is told
// ([Draining]). done: its connections are over, and Accept tells it too.
func (s *self) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isEnding() {
		close(s.ending)
		go s.finish()
	}
}

func (s *self) isEnding() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}

func (s *self) finish() {
	s.asking.Wait()
	listeners := s.open()
	for _, l := range listeners {
		l.inner.Finish()
	}
	s.mu.Lock()
	for c := range s.packets {
		c.finish()
	}
	s.mu.Unlock()
	limit := finishTime
	if s.limited() {
		limit = s.drain // what waits may have to wait for others to end
	}
	late, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	for _, l := range listeners {
		select {
		case <-l.finished:
		case <-late.Done():
			l.inner.Close()
		}
	}
	close(s.draining)
	for s.active() > 0 {
		time.Sleep(tick)
	}
	close(s.done)
	s.channel.send(message{Op: opDone})
}

// limited reports whether a listener has a limit of connections.
func (s *self) limited() bool {
	return slices.ContainsFunc(s.open(), func(l *listener) bool { return l.limited })
}

// open are the listeners that are not closed.
func (s *self) open() (open []*listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		open = append(open, l)
	}
	return open
}

// active is how many connections this worker holds.
func (s *self) active() (n int64) {
	for i := range maxListeners {
		n += s.board.line(i).Active.Load()
	}
	return n
}
