package steer

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/reuseport"
)

// 400 connections that stay: the table of fairness in BENCHMARKS.md.
func TestFairness(t *testing.T) {
	testleak.FDs(t)
	for _, policy := range []Policy{RoundRobin, LeastLoaded, Weighted} {
		p := newProgram(t, Config{Policy: policy})
		got := newCrowd(t).come(newGroup(t, p, 4), 400)
		r := imbalance(got, 4)
		t.Logf("%-18v max/mean %.2f %v", p, r, got)
		if limit := 1.0; policy != Weighted && r > limit || r > 1.05 {
			t.Errorf("%v: max/mean is %.2f: %v", p, r, got)
		}
	}
	for _, s := range []reuseport.Steering{reuseport.Hash{}, reuseport.Weighted{}} {
		got := newCrowd(t).come(newGroup(t, s, 4), 400)
		t.Logf("%-18v max/mean %.2f %v", s, imbalance(got, 4), got)
		if r := imbalance(got, 4); r > 1.6 || total(got) != 400 { // by chance: 1.6 is beyond six deviations
			t.Errorf("%v: max/mean is %.2f: %v", s, r, got)
		}
	}
}

// Least loaded makes up for what was uneven before.
func TestLeastLoadedCatchesUp(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Policy: LeastLoaded})
	g := newGroup(t, p, 2)
	c := newCrowd(t)
	if err := g.SetAway(g.Member(1), true); err != nil {
		t.Fatal(err)
	}
	if got := c.come(g, 20); got[2] != 20 {
		t.Errorf("1 is away: %v", got)
	}
	if err := g.SetAway(g.Member(1), false); err != nil {
		t.Fatal(err)
	}
	if got := c.come(g, 30); got[1] != 25 || got[2] != 5 {
		t.Errorf("20 at 2, then 30: %v", got)
	}
	if a, b := p.Load(1), p.Load(2); a != 25 || b != 25 {
		t.Errorf("loads are %d and %d", a, b)
	}
}

// What nobody has accepted yet counts: no herd goes to one member.
func TestLeastLoadedBurst(t *testing.T) {
	testleak.FDs(t)
	p := newProgram(t, Config{Policy: LeastLoaded})
	g := newGroup(t, p, 4)
	burst(t, g, 40)
	for _, m := range g.Members() {
		if q, err := m.Queue(); err != nil || q.Depth != 10 {
			t.Errorf("%d of 40 wait at %v, %v", q.Depth, m.ID, err)
		}
	}
}

func TestWeights(t *testing.T) {
	testleak.FDs(t)
	for _, policy := range []Policy{LeastLoaded, Weighted} {
		p := newProgram(t, Config{Policy: policy})
		g := newGroup(t, p, 3)
		if err := errors.Join(g.SetWeight(g.Member(1), 3), g.SetWeight(g.Member(2), 6)); err != nil {
			t.Fatal(err)
		}
		got := newCrowd(t).come(g, 200)
		for id, want := range map[reuseport.ID]int{1: 60, 2: 120, 3: 20} {
			if got[id] < want-3 || got[id] > want+3 {
				t.Errorf("%v, weights 3, 6, 1: %v", p, got)
			}
		}
	}
}

// A member that hangs, or is full, gets nothing as long as another is fit.
func TestHungAndFull(t *testing.T) {
	testleak.FDs(t)
	for _, policy := range []Policy{RoundRobin, LeastLoaded, Weighted, SourceHash} {
		// An age that no healthy member reaches, however busy the machine.
		p := newProgram(t, Config{Policy: policy, HangAfter: time.Hour, Limit: 250})
		g := newGroup(t, p, 4)
		c := newCrowd(t)
		for _, m := range g.Members() {
			p.Publisher(m.ID).Beat()
		}
		hung := p.board.find(3)
		hung.beat.Store(monotonic.now() - int64(2*time.Hour))
		got := c.come(g, 400)
		if got[3] != 0 {
			t.Errorf("%v: the one that hangs got %d of 400: %v", p, got[3], got)
		}
		for id, n := range got {
			if n > 250 {
				t.Errorf("%v: %d got more than its limit: %v", p, id, got)
			}
		}
		p.Publisher(3).Beat()
		if policy != SourceHash {
			if got := c.come(g, 40); got[3] == 0 {
				t.Errorf("%v: it beats again, and gets none of 40: %v", p, got)
			}
		}
		// All hang: then anyone is better than a client in vain.
		for i := range p.board.slots {
			p.board.slots[i].beat.Store(1)
		}
		p.board.limit.Store(1)
		if got := c.come(g, 10); total(got) != 10 {
			t.Errorf("%v: all hang: %v", p, got)
		}
	}
}

func total(got map[reuseport.ID]int) (n int) {
	for _, k := range got {
		n += k
	}
	return n
}

// Connections of one address stay together.
func TestSourceHash(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	ns.Do(func() {
		p := newProgram(t, Config{Policy: SourceHash})
		g := newGroup(t, p, 4)
		members := map[reuseport.ID]bool{}
		for host := byte(1); host <= 40; host++ {
			got := newCrowd(t).comeFrom(g, host, 3)
			if len(got) != 1 {
				t.Errorf("three of 127.0.0.%d went to %v", host, got)
			}
			for id := range got {
				members[id] = true
			}
		}
		if len(members) != 4 {
			t.Errorf("40 addresses went to %v only", members)
		}
	})
	ns.Do(func() {
		p := newProgram(t, Config{Policy: SourceHash})
		g, err := reuseport.Config{Steering: p}.Listen(context.Background(), "tcp", "[::1]:0", 4)
		if err != nil {
			t.Skip(err)
		}
		defer g.Close()
		if got := newCrowd(t).come(g, 20); len(got) != 1 {
			t.Errorf("20 of ::1 went to %v", got)
		}
	})
}

// The ACK of a SYN cookie takes no turn: with one, half of the turns would be
// those of SYNs, and one client at a time would meet every other member only.
func TestCookiesTakeNoTurn(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	ns.Sysctl("ipv4/tcp_syncookies", "2")
	ns.Do(func() {
		p := newProgram(t, Config{Policy: RoundRobin})
		g := newGroup(t, p, 4)
		got := newCrowd(t).come(g, 40)
		if turn := p.board.turn.Load(); turn != 40 {
			t.Errorf("40 connections took %d turns", turn)
		}
		if imbalance(got, 4) != 1 {
			t.Errorf("40 connections by cookies went to %v", got)
		}
	})
}

func TestConfigRefused(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []Config{{Policy: 9}, {Policy: -1}, {Members: -1}, {Members: MaxMembers + 1}, {HangAfter: -1}, {Limit: -1}} {
		if p, err := New(c); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%+v: %v, %v", c, p, err)
		}
	}
}

// The verifier takes each policy with the most members.
func TestLargest(t *testing.T) {
	testleak.FDs(t)
	for _, policy := range []Policy{RoundRobin, LeastLoaded, Weighted, SourceHash} {
		p := newProgram(t, Config{Policy: policy, Members: MaxMembers, HangAfter: time.Second, Limit: 10})
		g := newGroup(t, p, 3)
		if got := newCrowd(t).come(g, 9); total(got) != 9 {
			t.Errorf("%v: %v", p, got)
		}
	}
}
