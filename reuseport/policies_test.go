package reuseport

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// Each steering keeps connections from those that are away, and gives each other
// member some.
func TestSetAway(t *testing.T) {
	testleak.FDs(t)
	cpus, err := onlineCPUs()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Steering{Hash{}, Weighted{}, IncomingCPU{}} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
			members := 5
			if s == (IncomingCPU{}) {
				members = 2 + len(cpus)
			}
			g, err := Config{Steering: s}.Listen(context.Background(), "tcp", address, members)
			if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
				t.Logf("%v, %s: %v", s, address, err)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []ID{1, 3} {
				if err := g.SetAway(g.Member(id), true); err != nil {
					t.Fatal(err)
				}
			}
			got := connect(t, g, 400)
			if got[1]+got[3] != 0 || total(got) != 400 || s != (IncomingCPU{}) && len(got) != 3 {
				t.Errorf("%v on %s, 1 and 3 away: %v", s, address, got)
			}
			if err := g.SetAway(g.Member(3), false); err != nil {
				t.Fatal(err)
			}
			if got := connect(t, g, 400); got[1] != 0 || got[3] == 0 && s != (IncomingCPU{}) {
				t.Errorf("%v on %s, 1 away: %v", s, address, got)
			}
			g.Close()
		}
	}
}

// With 16 places a client's port decides alone over an address; both families.
func TestHashIsEven(t *testing.T) {
	testleak.FDs(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		g, err := Listen("tcp", address, 5)
		if err != nil {
			t.Log(err)
			continue
		}
		if err := g.SetAway(g.Member(5), true); err != nil { // else it is the kernel's
			t.Fatal(err)
		}
		got := connect(t, g, 1000)
		for id := ID(1); id <= 4; id++ {
			// The standard deviation is 14.
			if got[id] < 250-85 || got[id] > 250+85 {
				t.Errorf("%s: 1000 connections over four: %v", address, got)
			}
		}
		g.Close()
	}
}

func TestWeighted(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{Steering: Weighted{}}, 3)
	if err := errors.Join(g.SetWeight(g.Member(1), 3), g.SetWeight(g.Member(2), 6)); err != nil {
		t.Fatal(err)
	}
	got := connect(t, g, 500) // standard deviations are 10, 11 and 7
	if got[1] < 90 || got[1] > 210 || got[2] < 235 || got[2] > 365 || got[3] < 10 || got[3] > 90 {
		t.Errorf("weights 3, 6, 1: %v", got)
	}
	for _, w := range []int{0, -1, MaxWeight + 1} {
		if err := g.SetWeight(g.Member(1), w); !errors.Is(err, unix.EINVAL) {
			t.Errorf("weight %d: %v", w, err)
		}
	}
	if w := g.Member(2).Weight(); w != 6 {
		t.Errorf("it weighs %d", w)
	}
}

// By CPU, the member is that of the CPU that the client runs on: on loopback the
// SYN is handled there.
func TestByCPU(t *testing.T) {
	testleak.FDs(t)
	cpus, err := onlineCPUs()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Steering{ByCPU{}, IncomingCPU{}} {
		g, err := Config{Steering: s}.Listen(context.Background(), "tcp", "127.0.0.1:0", len(cpus))
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Log(err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		seen := map[ID]int{}
		for i, cpu := range cpus {
			onCPU(t, cpu, func() {
				want := g.Members()[cpu%len(cpus)].ID
				if s == (IncomingCPU{}) {
					want = g.Members()[i].ID
				}
				if got := connect(t, g, 10); got[want] != 10 {
					t.Errorf("%v: from CPU %d: %v, want all for %v", s, cpu, got, want)
				}
				seen[want]++
			})
		}
		if len(seen) != len(cpus) {
			t.Errorf("%v: %d CPUs went to %v", s, len(cpus), seen)
		}
		g.Close()
	}
}

func TestIncomingCPURefuses(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 2)
	// One stays, for two CPUs.
	places := g.places()
	places[0].Away = true
	err := steerByCPU(places, []int{0, 1})
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "ByCPU") {
		t.Errorf("steered: %v", err)
	}
	places[0].Away = false
	if err := steerByCPU(places, []int{0, 1, 2}); err != nil {
		t.Errorf("nobody is away: %v", err)
	}
}

// No CPU is ever without a member, whatever the members had before.
func TestAssign(t *testing.T) {
	for _, c := range []struct {
		away      string // a letter for each member: "." or "a"
		now, cpus []int
		want      []int
	}{
		{"....", []int{-1, -1, -1, -1}, []int{0, 1}, []int{0, 1, 0, 1}},
		{"a...", []int{0, 1, 0, 1}, []int{0, 1}, []int{noCPU, 1, 0, 1}},
		{"aa..", []int{0, 1, 0, 0}, []int{0, 1}, []int{noCPU, noCPU, 0, 1}},
		{"....", []int{noCPU, noCPU, 0, 1}, []int{0, 1}, []int{0, 1, 0, 1}},
		{"...", []int{5, 5, 5}, []int{2, 5, 7}, []int{5, 2, 7}},
		{".", []int{-1}, []int{0, 1}, []int{0}},
	} {
		places := make([]Place, len(c.now))
		for i := range places {
			places[i].Away = c.away[i] == 'a'
		}
		got, err := assign(places, c.now, c.cpus)
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%v: %v", c, got)
				break
			}
		}
	}
}

func TestParseCPUs(t *testing.T) {
	got, err := parseCPUs("0-2,5,7-8")
	if want := []int{0, 1, 2, 5, 7, 8}; err != nil || len(got) != len(want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "x", "1-", "1-x"} {
		if got, err := parseCPUs(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestSetSteering(t *testing.T) {
	testleak.FDs(t)
	g := newGroup(t, Config{}, 3)
	if err := g.SetAway(g.Member(1), true); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Steering{ByCPU{}, Weighted{}, Hash{}, ByCPU{}} {
		if err := g.SetSteering(s); err != nil {
			t.Fatal(err)
		}
		if got := connect(t, g, 50); got[1] != 0 || g.Steering() != s {
			t.Errorf("%v: %v", g.Steering(), got)
		}
	}
	if err := g.SetSteering(broken{}); !errors.Is(err, errBroken) || g.Steering() != (ByCPU{}) {
		t.Errorf("%v, %v", g.Steering(), err)
	}
	if got := connect(t, g, 50); got[1] != 0 {
		t.Errorf("the old one is not as it was: %v", got)
	}
}

type broken struct{ Hash }

var errBroken = errors.New("broken")

func (broken) Steer([]Place) error { return errBroken }

// The largest programs load, whichever members are away, and choose right.
func TestManyMembers(t *testing.T) {
	testleak.FDs(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*MaxMembers {
		t.Skipf("needs %d descriptors: %v, %v", 2*MaxMembers, limit.Cur, err)
	}
	g := newGroup(t, Config{}, 1)
	fd := g.Members()[0].Descriptor()
	places := make([]Place, MaxMembers)
	for i := range places {
		places[i] = Place{ID: ID(i + 1), Socket: fd, Weight: i%7 + 1, Away: i > 0 && i%2 == 0}
	}
	for _, s := range []Steering{Hash{}, Weighted{}, ByCPU{}} {
		if err := s.Steer(places); err != nil {
			b, _ := os.ReadFile("/proc/sys/net/core/optmem_max")
			t.Errorf("%v: %v (optmem_max %s)", s, err, b)
		}
	}
	if err := (Weighted{}).Steer(append(places, Place{})); !errors.Is(err, unix.E2BIG) {
		t.Errorf("%d members: %v", len(places)+1, err)
	}
}

// find is checked by an interpreter of what it generates.
func TestFind(t *testing.T) {
	for _, n := range []int{1, 2, 3, 255, 256, 257, 600, MaxMembers} {
		places := make([]Place, n)
		for i := range places {
			places[i] = Place{Weight: i%5 + 1, Away: i%3 == 1}
		}
		for name, spans := range map[string][]span{"evenly": evenly(places), "by weight": byWeight(places)} {
			program := find(spans)
			got := make([]int, n)
			for key := range spans[len(spans)-1].end {
				m := run(t, program, key)
				if m < 0 || m >= n {
					t.Fatalf("%s, %d members: key %d goes to %d", name, n, key, m)
				}
				got[m]++
			}
			for i, p := range places {
				want := 1
				if name == "by weight" {
					want = p.Weight
				}
				if p.Away {
					want = 0
				}
				if got[i] != want {
					t.Fatalf("%s, %d members: %d has %d keys, not %d", name, n, i, got[i], want)
				}
			}
		}
	}
}

func run(t *testing.T, p []unix.SockFilter, a uint32) int {
	t.Helper()
	for pc := 0; pc < len(p); pc++ {
		switch i := p[pc]; i.Code {
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			if a >= i.K {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
		case unix.BPF_ALU | unix.BPF_ADD | unix.BPF_K:
			a += i.K
		case unix.BPF_RET | unix.BPF_A:
			return int(a)
		case unix.BPF_RET | unix.BPF_K:
			return int(i.K)
		default:
			t.Fatalf("instruction %+v", i)
		}
	}
	t.Fatal("it runs off its end")
	return 0
}

// With SYN cookies the ACK asks the program again, and gets the same answer.
func TestCookies(t *testing.T) {
	testleak.FDs(t)
	ns := cookieNamespace(t)
	ns.Do(func() {
		g := newGroup(t, Config{Steering: Weighted{}}, 3)
		if err := g.SetAway(g.Member(2), true); err != nil {
			t.Fatal(err)
		}
		if got := connect(t, g, 60); total(got) != 60 || got[2] != 0 || len(got) != 2 {
			t.Errorf("60 connections by cookies, none for 2: %v", got)
		}
	})
}

// A group that all have left takes a steering for those who join, and nil is the
// hash.
func TestSetSteeringOfNobody(t *testing.T) {
	testleak.FDs(t)
	g, err := Listen("tcp", "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Leave(g.Members()[0]); err != nil {
		t.Fatal(err)
	}
	if err := g.SetSteering(Weighted{}); err != nil || g.Steering() != (Weighted{}) {
		t.Errorf("%v, %v", g.Steering(), err)
	}
	for range 2 {
		if _, err := g.Join(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.SetAway(g.Members()[0], true); err != nil {
		t.Error(err)
	}
	if err := g.SetSteering(nil); err != nil || g.Steering() != (Hash{}) {
		t.Errorf("%v, %v", g.Steering(), err)
	}
}
