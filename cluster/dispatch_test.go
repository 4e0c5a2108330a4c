package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"onconn/fdpass"
	"onconn/internal/testleak"
	"onconn/sock"
)

// Connections that never arrived don't count against a worker's limit for ever,
// and one that is just being taken does.
func TestCountOfSpoiledConnections(t *testing.T) {
	testleak.FDs(t)
	q, err := fdpass.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	synctest.Test(t, func(t *testing.T) {
		var l line
		s := &seat{queue: q, line: &l, sent: 3}
		if n := s.queued(4); n != 3 {
			t.Errorf("below the limit it says %d, not what it sent", n)
		}
		for range 2 {
			if n := s.queued(3); n != 3 {
				t.Errorf("with an empty queue it says %d at once", n)
			}
		}
		time.Sleep(2 * doubtTime)
		if n := s.queued(3); n != 0 {
			t.Errorf("it still counts %d", n)
		}
		s.sent++
		if n := s.queued(3); n != 1 {
			t.Errorf("then it says %d", n)
		}
	})
}

// A worker that takes connections again just while what waits for it is given to others
// is the only one with room: what is stolen from it goes back to it, once.
func TestStealFromOneThatAwakes(t *testing.T) {
	testleak.FDs(t)
	q, err := fdpass.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var l line
	picks := 0
	s := &seat{worker: new(Worker), queue: q, line: &l, limit: 64, hung: true} // l.missed is false: it is awake
	d := &dispatcher{policy: pickCounter(func() {
		if picks++; picks > 10 {
			panic("it is given what was stolen from it again and again")
		}
	}), seats: []*seat{s}, watch: func() {}}
	for range 3 {
		a, b, err := sock.Pair(sock.Stream)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if n, err := q.Send([]fdpass.Record{{FD: a}}); n != 1 {
			t.Fatal(err)
		}
		a.Close()
		s.sent++
	}
	d.steal(s)
	if n, err := q.Len(); n != 3 || err != nil || s.sent != 3 || s.hung {
		t.Errorf("%d wait, %v, %d sent, hung: %v", n, err, s.sent, s.hung)
	}
}

type pickCounter func()

func (p pickCounter) Pick(sock.Addr, []Load) int {
	p()
	return 0
}
