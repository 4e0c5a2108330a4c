package steer

import (
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/reuseport"
)

// Turns are even among those that are left when one is away, hangs or is full:
// its neighbour doesn't get its share.
func TestTurnsOfTheRest(t *testing.T) {
	testleak.FDs(t)
	for name, spoil := range map[string]func(*Program, *reuseport.Group) error{
		"away": func(_ *Program, g *reuseport.Group) error { return g.SetAway(g.Member(2), true) },
		"hung": func(p *Program, _ *reuseport.Group) error {
			p.board.find(2).beat.Store(monotonic.now() - int64(2*time.Hour))
			return nil
		},
		"full": func(p *Program, _ *reuseport.Group) error {
			p.board.find(2).counters.Active.Store(1000)
			return nil
		},
		"gone": func(_ *Program, g *reuseport.Group) error { return g.Leave(g.Member(2)) },
	} {
		p := newProgram(t, Config{Policy: RoundRobin, HangAfter: time.Hour, Limit: 1000})
		g := newGroup(t, p, 4)
		if err := spoil(p, g); err != nil {
			t.Fatal(err)
		}
		got := newCrowd(t).come(g, 300)
		if got[1] != 100 || got[3] != 100 || got[4] != 100 {
			t.Errorf("2 is %s: %v", name, got)
		}
	}
}
