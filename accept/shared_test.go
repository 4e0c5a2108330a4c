package accept

import (
	"net"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/sock"
)

// TestShares: at light load, when several workers are idle, each gets its share.
func TestShares(t *testing.T) {
	const workers, clients = 4, 2000
	measure := func(role string) float64 {
		ln := tcp(t)
		procs := make([]*process, workers)
		for i := range procs {
			procs[i] = spawn(t, ln, role, "SHARED=1")
		}
		for _, p := range procs {
			p.do("status") // it runs
		}
		start := time.Now()
		for range clients {
			c := dial(t, ln)
			wantServed(t, c)
			c.Close()
		}
		took := time.Since(start)
		var sum, squares float64
		var counts []int64
		var used time.Duration
		for _, p := range procs {
			s := p.do("status")
			counts = append(counts, s.Accepted)
			used += s.CPU
			sum += float64(s.Accepted)
			squares += float64(s.Accepted) * float64(s.Accepted)
		}
		jain := sum * sum / (workers * squares)
		t.Logf("%s: shares %v, Jain %.3f, %v and %v of CPU time a connection", role, counts, jain,
			took/clients, used/clients)
		if sum != clients {
			t.Errorf("%s: accepted %v of %d", role, sum, clients)
		}
		return jain
	}
	testleak.FDs(t)
	measure("exclusive") // the usual way, to compare
	if jain := measure("serve"); jain < 0.95 {
		t.Errorf("Jain index %.3f with Shared, want at least 0.95", jain)
	}
}

// TestHandedOn: the kernel wakes one loop for a connection. If that one pauses
// instead of accepting it, another one gets it.
func TestHandedOn(t *testing.T) {
	for name, family := range map[string]sock.Family{"tcp": sock.Inet, "unix": sock.Unix} {
		t.Run(name, func(t *testing.T) {
			first, second := newLoop(t, Options{}), newLoop(t, Options{})
			ln := listener(t, family, sock.Stream, 64)
			ls, err := first.Add(ln, answer, Shared())
			check(t, err)
			other, err := second.Add(ln, answer, Shared())
			check(t, err)
			run(t, first)
			run(t, second)
			for range 200 {
				other.Pause() // and to the end of the line,
				other.Resume()
				settled(first)
				c := dial(t, ln) // so that this wakes the first,
				ls.Pause()       // mostly before it has come round to accept
				wantServed(t, c)
				c.Close()
				ls.Resume()
			}
			t.Logf("%d accepted by the one that is woken first, %d by the other",
				first.Stats().Accepted, second.Stats().Accepted)
			if second.Stats().Accepted == 0 {
				t.Error("the other one was never needed, so nothing was tested")
			}
		})
	}
}

// TestSharedExhausted: a process without descriptors leaves what waits to the
// others at once.
func TestSharedExhausted(t *testing.T) {
	testleak.FDs(t)
	ln := tcp(t)
	p := spawn(t, ln, "serve", "SHARED=1", "NOFILE=40", "SHED_AFTER=-1")
	p.do("hold")
	var clients []net.Conn
	for p.do("status").Exhausted == 0 {
		clients = append(clients, dial(t, ln))
	}
	healthy := spawn(t, ln, "serve", "SHARED=1")
	held := int(p.do("status").Accepted)
	for _, c := range clients[held:] {
		wantServed(t, c)
	}
	for range 100 {
		c := dial(t, ln)
		wantServed(t, c)
		c.Close()
	}
	if got, want := healthy.do("status").Accepted, int64(len(clients)-held+100); got != want {
		t.Errorf("the healthy process accepted %d, want %d", got, want)
	}
	if p.do("status").Accepted != int64(held) {
		t.Error("the exhausted process accepted more")
	}
}
