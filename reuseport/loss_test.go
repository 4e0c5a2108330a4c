package reuseport_test

import (
	"context"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/reuseport"
	"onconn/reuseport/internal/churn"
)

func drain(g *reuseport.Group, m *reuseport.Member) (reuseport.Report, error) {
	return g.Drain(context.Background(), m, reuseport.Drain{Limit: time.Minute})
}

// leave is about as often as drain, so that they compare.
func leave(g *reuseport.Group, m *reuseport.Member) (reuseport.Report, error) {
	time.Sleep(30 * time.Millisecond)
	return reuseport.Report{}, g.Leave(m)
}

// Members come and go under load. Closing them loses connections, the drain
// none. For the figures of BENCHMARKS.md: -reuseport.connections=200000
// -reuseport.clients=128 -timeout 2h.
func TestLoss(t *testing.T) {
	testleak.FDs(t)
	churn.Networks(t, func(t *testing.T, nw churn.Network) {
		closed := churn.Run(t, nw, reuseport.Config{}, 4, leave)
		t.Logf("%-24s %v", "close", closed)
		if closed.Lost == 0 && nw.Name != "loopback" { // there nothing is half-open for long
			t.Error("close loses nothing, so this test shows nothing")
		}
		for _, s := range []reuseport.Steering{reuseport.Hash{}, reuseport.Weighted{}, reuseport.IncomingCPU{}} {
			r := churn.Run(t, nw, reuseport.Config{Steering: s}, churn.Members(), drain)
			t.Logf("%-24s %v", "drain, "+s.String(), r)
			if r.Lost != 0 {
				t.Errorf("%v: the drain lost %d", s, r.Lost)
			}
			if r.Restarts == 0 {
				t.Errorf("%v: no member was ended under load", s)
			}
		}
	})
}

// The member that joined last is the one by which the kernel finds the group.
func TestLossOfTheYoungest(t *testing.T) {
	testleak.FDs(t)
	churn.Networks(t, func(t *testing.T, nw churn.Network) {
		r := churn.RunOf(t, nw, reuseport.Config{}, 4, churn.Youngest, drain)
		t.Logf("%-24s %v", "drain", r)
		if r.Lost != 0 || r.Restarts == 0 {
			t.Errorf("the drain lost %d in %d restarts", r.Lost, r.Restarts)
		}
	})
}
