package cluster_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"onconn/cluster"
	"onconn/sock"
)

func from(s string) sock.Addr {
	return sock.IPAddr(netip.AddrPortFrom(netip.MustParseAddr(s), 1234))
}

// picks are the slots that a policy picks, one after the other, when connections
// stay open.
func picks(p cluster.Policy, n int, loads []cluster.Load) (slots []int) {
	for range n {
		i := p.Pick(from("192.0.2.1"), loads)
		loads[i].Active++
		slots = append(slots, loads[i].Slot)
	}
	return slots
}

func TestPolicies(t *testing.T) {
	three := func() []cluster.Load { return []cluster.Load{{Slot: 0}, {Slot: 1}, {Slot: 2}} }
	for _, c := range []struct {
		name   string
		policy cluster.Policy
		loads  []cluster.Load
		want   []int
	}{
		{"round robin", cluster.NewRoundRobin(), three(), []int{0, 1, 2, 0, 1, 2}},
		{"round robin with a gap", cluster.NewRoundRobin(), []cluster.Load{{Slot: 1}, {Slot: 5}}, []int{1, 5, 1, 5}},
		{"least loaded", cluster.NewLeastLoaded(), []cluster.Load{{Slot: 0, Active: 2}, {Slot: 1, Queued: 1}, {Slot: 2}}, []int{2, 1, 2, 0, 1, 2}},
		{"weighted", cluster.NewWeighted(3, 1), three(), []int{0, 1, 0, 2, 0, 0, 1, 0, 2, 0}},
	} {
		if got := picks(c.policy, len(c.want), c.loads); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", c.name, got, c.want)
		}
	}
}

// A client keeps its worker, and one that leaves moves only its own clients.
func TestSourceHash(t *testing.T) {
	p := cluster.NewSourceHash()
	four := []cluster.Load{{Slot: 0}, {Slot: 1}, {Slot: 2}, {Slot: 3}}
	without2 := slices.Delete(slices.Clone(four), 2, 3)
	counts := map[int]int{}
	for i := range 4000 {
		client := from(fmt.Sprintf("10.0.%d.%d", i/250, i%250))
		slot := four[p.Pick(client, four)].Slot
		counts[slot]++
		if again := four[p.Pick(client, four)].Slot; again != slot {
			t.Fatalf("%v went to %d and to %d", client, slot, again)
		}
		if left := without2[p.Pick(client, without2)].Slot; slot != 2 && left != slot {
			t.Fatalf("%v moved from %d to %d though its worker stayed", client, slot, left)
		}
	}
	if j := jain(counts, 4); j < 0.99 {
		t.Errorf("shares %v, Jain %.3f", counts, j)
	}
}

func TestParsePolicy(t *testing.T) {
	for _, s := range []string{"round-robin", "least-loaded", "source-hash", "weighted=1", "weighted=3,2,1"} {
		if f, err := cluster.ParsePolicy(s); err != nil || f() == nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "rr", "weighted", "weighted=", "weighted=0", "weighted=1,x", "round-robin=1"} {
		if _, err := cluster.ParsePolicy(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

// favourite is a user's own policy: everything to the last worker.
type favourite struct{ sick bool }

func (f favourite) Pick(_ sock.Addr, workers []cluster.Load) int {
	if f.sick {
		return len(workers) + 7
	}
	return len(workers) - 1
}

func TestPoliciesAtWork(t *testing.T) {
	t.Run("own", func(t *testing.T) {
		r := start(t, "name", cluster.Config{Workers: 3, Policy: func() cluster.Policy { return favourite{} }, Env: on("tcp", "127.0.0.1:0")})
		a := r.listening(3)
		last := r.Workers()[2].ID
		for range 10 {
			if id := ask(t, a); id != last {
				t.Errorf("worker %d served, not %d", id, last)
			}
		}
	})
	t.Run("own, out of range", func(t *testing.T) {
		r := start(t, "name", cluster.Config{Workers: 2, Policy: func() cluster.Policy { return favourite{sick: true} }, Env: on("tcp", "127.0.0.1:0")})
		a := r.listening(2)
		for range 10 {
			ask(t, a)
		}
	})
	t.Run("least loaded", func(t *testing.T) {
		r := start(t, "hold", cluster.Config{Workers: 3, Policy: cluster.NewLeastLoaded, Env: on("tcp", "127.0.0.1:0")})
		a := r.listening(3)
		got := map[int]int{}
		mine := map[int][]net.Conn{}
		open := func() {
			c := dial(t, a)
			id := readID(t, c)
			got[id]++
			mine[id] = append(mine[id], c)
		}
		for range 30 {
			open()
		}
		for _, c := range mine[1] { // now worker 1 has none
			c.Close()
		}
		w := r.Workers()[0]
		eventually(t, "worker 1 has none", func() bool { return w.Stats().Active == 0 })
		for range 10 {
			open()
		}
		if got[1] != 20 || got[2] != 10 || got[3] != 10 {
			t.Errorf("the workers got %v", got)
		}
		for _, conns := range mine {
			for _, c := range conns {
				c.Close()
			}
		}
	})
	t.Run("weighted", func(t *testing.T) {
		policy, _ := cluster.ParsePolicy("weighted=3,1")
		r := start(t, "name", cluster.Config{Workers: 2, Policy: policy, Env: on("tcp", "127.0.0.1:0")})
		a := r.listening(2)
		got := map[int]int{}
		for range 40 {
			got[ask(t, a)]++
		}
		if got[1] != 30 {
			t.Errorf("of 40 connections the first worker got %v, not 30", got)
		}
	})
	t.Run("source hash", func(t *testing.T) {
		r := start(t, "name", cluster.Config{Workers: 3, Policy: cluster.NewSourceHash, Env: on("tcp", "127.0.0.1:0")})
		a := r.listening(3)
		workers := map[int]bool{}
		for i := range 30 {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 9, byte(i+1))}}
			var ids []string
			for range 3 {
				c, err := d.Dial("tcp", a.String())
				if err != nil {
					t.Fatal(err)
				}
				id := readID(t, c)
				workers[id] = true
				ids = append(ids, fmt.Sprint(id))
				c.Close()
			}
			if ids[0] != ids[1] || ids[1] != ids[2] {
				t.Errorf("client %d was at workers %s", i, strings.Join(ids, ", "))
			}
		}
		if len(workers) != 3 {
			t.Errorf("30 clients used only workers %v", workers)
		}
	})
}
