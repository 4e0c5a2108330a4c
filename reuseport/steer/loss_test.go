package steer

import (
	"context"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/reuseport"
	"onconn/reuseport/internal/churn"
)

// As TestLoss of package reuseport, by eBPF. Here the kernel moves what waits in
// a closing member, so that closing loses little; the drain loses nothing.
func TestLoss(t *testing.T) {
	testleak.FDs(t)
	churn.Networks(t, func(t *testing.T, nw churn.Network) {
		closed := churn.Run(t, nw, reuseport.Config{}, 4, func(g *reuseport.Group, m *reuseport.Member) (reuseport.Report, error) {
			time.Sleep(30 * time.Millisecond) // about as often as the drain
			return reuseport.Report{}, g.Leave(m)
		})
		t.Logf("%-24s %v", "close, hash", closed)
		for _, policy := range []Policy{RoundRobin, LeastLoaded} {
			p := newProgram(t, Config{Policy: policy})
			r := churn.Run(t, nw, reuseport.Config{Steering: p}, 4, func(g *reuseport.Group, m *reuseport.Member) (reuseport.Report, error) {
				return g.Drain(context.Background(), m, reuseport.Drain{Limit: time.Minute})
			})
			t.Logf("%-24s %v", "drain, "+p.String(), r)
			if r.Lost != 0 || r.Restarts == 0 {
				t.Errorf("%v: the drain lost %d in %d restarts", p, r.Lost, r.Restarts)
			}
		}
	})
}
