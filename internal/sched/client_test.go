package sched

import (
	"bytes"
	"context"
	"encoding/gob"
	"net/netip"
	"testing"
	"time"

	"onconn/backlog"
	"onconn/internal/testleak"
	"onconn/listen"
)

func harvestOf(t *testing.T, task task) harvest {
	t.Helper()
	var in, out bytes.Buffer
	if err := gob.NewEncoder(&in).Encode(task); err != nil {
		t.Fatal(err)
	}
	if err := client(&in, &out); err != nil {
		t.Fatal(err)
	}
	var h harvest
	if err := gob.NewDecoder(&out).Decode(&h); err != nil {
		t.Fatal(err)
	}
	return h
}

// Nobody answers before all have come: a client that waited for answers would
// never get there. The time that they waited counts.
func TestOpenLoop(t *testing.T) {
	testleak.FDs(t)
	ln, err := listen.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	const connections = 30
	load := Load{Connections: connections, For: 50 * time.Millisecond}
	served := make(chan error, 1)
	var came time.Time
	go func() {
		served <- func() error {
			for {
				q, err := backlog.Of(ln.Descriptor())
				if err != nil {
					return err
				}
				if q.Depth == connections {
					break
				}
				time.Sleep(time.Millisecond)
			}
			came = time.Now()
			for range connections {
				c, err := ln.Accept()
				if err != nil {
					return err
				}
				defer c.Close()
				var m message
				if _, err := c.Read(m[:]); err != nil {
					return err
				}
				m = answer(3)
				if _, err := c.Write(m[:]); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	begin := time.Now()
	h := harvestOf(t, task{Address: tcpAddress(ln.Addr()), Load: load, Seed: 1, Of: 1, Begin: begin, Patience: time.Minute})
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if h.Failed+h.Silent > 0 || h.Workers[3] != connections || len(h.Latencies) != connections {
		t.Errorf("%+v", h)
	}
	first := load.actions(1)[0].due
	most := time.Duration(0)
	for _, d := range h.Latencies {
		most = max(most, d)
	}
	if least := came.Sub(begin) - first; most < least-time.Millisecond {
		t.Errorf("the first one waited %v at least, and the longest is %v", least, most)
	}
}

// What is never answered is counted with the time until then.
func TestSilence(t *testing.T) {
	testleak.FDs(t)
	ln, err := listen.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	h := harvestOf(t, task{Address: tcpAddress(ln.Addr()), Load: Load{Connections: 5, For: time.Millisecond}, Of: 1, Begin: time.Now(), Patience: 50 * time.Millisecond})
	if h.Silent != 5 || h.Failed != 0 || len(h.Latencies) != 5 {
		t.Errorf("%+v", h)
	}
	for _, d := range h.Latencies {
		if d < 50*time.Millisecond {
			t.Errorf("given up after %v", d)
		}
	}
}

// Nobody listens.
func TestRefused(t *testing.T) {
	testleak.FDs(t)
	h := harvestOf(t, task{Address: netip.MustParseAddrPort("127.0.0.1:1"), Load: Load{Connections: 5, For: time.Millisecond}, Of: 1, Begin: time.Now()})
	if h.Failed != 5 || h.Failure == "" || len(h.Workers) != 0 {
		t.Errorf("%+v", h)
	}
}

// The parts of a load are the whole of it.
func TestParts(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	ln, err := listen.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for i := range 3 {
		h := harvestOf(t, task{Address: tcpAddress(ln.Addr()), Load: Load{Connections: 10, For: time.Millisecond}, Part: i, Of: 3, Begin: time.Now()})
		if want := []int{4, 3, 3}[i]; h.Silent != want {
			t.Errorf("part %d: %+v", i, h)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := apply(ctx, []string{"/proc/self/exe"}, 2, task{Address: tcpAddress(ln.Addr()), Begin: time.Now().Add(time.Hour), Load: Load{Connections: 1}}); err == nil {
		t.Error("it goes on after the end")
	}
}
