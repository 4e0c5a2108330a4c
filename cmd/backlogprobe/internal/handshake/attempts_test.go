package handshake

import (
	"net/netip"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// A client that had tried before we looked is told by the time of its next SYN.
func TestAttempts(t *testing.T) {
	testleak.FDs(t)
	queues, err := OpenQueues("")
	if err != nil {
		t.Fatal(err)
	}
	defer queues.Close()
	now := time.Now().Truncate(time.Second)
	began := now.Add(-10 * time.Second)
	w := &Watcher{queues: queues, pending: map[flow]*pending{}, began: map[int64]int{}, start: began}
	client := func(port uint16, seconds ...float64) {
		f := flow{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), netip.MustParseAddrPort("192.0.2.2:80")}
		for _, s := range seconds {
			w.syn(f, 1, began.Add(time.Duration(s*float64(time.Second))))
		}
	}
	client(1, 0.5, 1.5, 2.5)   // from before: it tries once a second
	client(2, 3.1)             // new, and let in
	client(3, 3.2, 4.2, 5.2)   // new, and refused
	client(4, 3.9, 5.9, 9.9)   // from before: it waits longer each time
	client(5, 6.0, 6.00001, 7) // new, seen twice
	client(6, 9.5)             // perhaps new
	if n, during := w.Attempts(); n != 3 || during != 7*time.Second && during != 8*time.Second {
		t.Errorf("%d in %v", n, during)
	}
}
