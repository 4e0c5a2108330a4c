package cluster_test

import (
	"maps"
	"net"
	"sync"
	"syscall"
	"testing"

	"onconn/cluster"
	"onconn/reuseport"
	"onconn/reuseport/steer"
)

// The kernel chooses as the steering says, over reloads, crashes and scaling.
func TestSteering(t *testing.T) {
	if err := steer.Supported(); err != nil {
		t.Skip(err)
	}
	r := start(t, "hold", cluster.Config{Workers: 3, Mode: cluster.ReusePort, Env: on("tcp", "127.0.0.1:0"),
		Steering: func() reuseport.Steering {
			p, err := steer.New(steer.Config{Policy: steer.LeastLoaded})
			if err != nil {
				t.Error(err)
				return nil
			}
			return p
		}})
	for range 3 {
		r.await(cluster.Ready)
	}
	a, err := net.ResolveTCPAddr("tcp", r.Status().Listeners[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	even := func(workers int) {
		t.Helper()
		eventually(t, "nothing is open", func() bool {
			for _, w := range r.Workers() {
				if w.Stats().Active != 0 {
					return false
				}
			}
			return len(r.Status().Listeners[0].Away) == 0
		})
		got := map[int]int{}
		var conns []net.Conn
		for range 20 * workers {
			c := dial(t, a)
			got[readID(t, c)]++
			conns = append(conns, c)
		}
		for id, n := range got {
			if n < 18 || n > 22 {
				t.Errorf("worker %d got %d of 20: %v", id, n, got)
			}
		}
		for _, c := range conns {
			c.Close()
		}
	}
	even(3)
	if s := r.Status().Listeners[0].Steering; s != "ebpf least-loaded" {
		t.Errorf("the steering is %q", s)
	}
	r.Workers()[1].Kill(syscall.SIGKILL)
	r.await(cluster.Ready)
	even(3)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old ones are gone", func() bool { return len(r.Workers()) == 3 })
	even(3)
	if err := r.Scale(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third socket has left", func() bool { return r.Status().Listeners[0].Sockets == 2 })
	eventually(t, "two are left", func() bool { return len(r.Workers()) == 2 })
	even(2)
}

// The kernel passes over a worker that is away, without any privilege.
func TestSteeredAway(t *testing.T) {
	r := start(t, "hold", cluster.Config{Workers: 2, Mode: cluster.ReusePort, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(2)
	w := r.Workers()[0]
	stop(t, w)
	var conns []net.Conn
	for range 20 {
		c := dial(t, a)
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns {
		readID(t, c)
	}
	if s := r.Status().Listeners[0]; len(s.Away) != 1 || s.Away[0] != 0 || s.Steering != "hash" {
		t.Errorf("steering %s, away %v", s.Steering, s.Away)
	}
	w.Kill(syscall.SIGCONT)
	eventually(t, "it is back", func() bool { return len(r.Status().Listeners[0].Away) == 0 })
}

// A scale knows what its members weigh.
type scale struct {
	reuseport.Hash
	mu      sync.Mutex
	weights map[reuseport.ID]int
}

func (s *scale) Steer(places []reuseport.Place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.weights = map[reuseport.ID]int{}
	for _, p := range places {
		s.weights[p.ID] = p.Weight
	}
	return s.Hash.Steer(places)
}

// are waits until they weigh that.
func (s *scale) are(t *testing.T, want map[reuseport.ID]int) {
	t.Helper()
	eventually(t, "all have their weights", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return maps.Equal(s.weights, want)
	})
}

// Weights are those of slots, whatever number the socket has.
func TestSteeringWeights(t *testing.T) {
	s := &scale{}
	r := start(t, "hold", cluster.Config{Workers: 3, Mode: cluster.ReusePort, Weights: []int{5, 2, 3, 3},
		Listen:   []cluster.Address{{Network: "tcp", Address: "127.0.0.1:0"}},
		Env:      on("tcp", "127.0.0.1:0"),
		Steering: func() reuseport.Steering { return s }})
	for range 3 {
		r.await(cluster.Ready)
	}
	s.are(t, map[reuseport.ID]int{1: 5, 2: 2, 3: 3})
	if err := r.Scale(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	s.are(t, map[reuseport.ID]int{1: 5, 2: 2})
	for _, n := range []int{3, 5} {
		if err := r.Scale(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	s.are(t, map[reuseport.ID]int{1: 5, 2: 2, 4: 3, 5: 3, 6: 1})
	if _, err := cluster.New(cluster.Config{Weights: []int{1, 0}}); err == nil {
		t.Error("a weight of 0 is taken")
	}
}
