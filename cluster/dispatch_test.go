package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"onconn/fdpass"
	"onconn/internal/testleak"
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
