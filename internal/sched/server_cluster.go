package sched

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"onconn/cluster"
)

// A clustered server is a cluster with this process as its primary.
type clustered struct {
	primary *cluster.Primary
	workers []int
}

func startCluster(ctx context.Context, c Config) (server, error) {
	events := make(chan cluster.Event, c.Workers)
	p, err := cluster.New(cluster.Config{
		Workers: c.Workers,
		Exec:    c.Command[0],
		Args:    c.Command[1:],
		Env:     []string{role{Way: RoundRobin}.env()},
		Mode:    cluster.RoundRobin,
		Listen:  []cluster.Address{{Network: "tcp", Address: clusterAddress}},
		OnEvent: func(e cluster.Event) {
			if e.Kind != cluster.Ready && e.Kind != cluster.Exited {
				return
			}
			select {
			case events <- e:
			default: // later ones don't matter
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	s := &clustered{primary: p, workers: make([]int, c.Workers)}
	if err := s.await(ctx, events); err != nil {
		return nil, errors.Join(err, s.close())
	}
	for _, w := range p.Workers() {
		s.workers[w.ID-1] = w.PID
	}
	return s, nil
}

// await waits until all workers are ready.
func (s *clustered) await(ctx context.Context, events <-chan cluster.Event) error {
	limit := time.After(startLimit)
	for range s.workers {
		select {
		case e := <-events:
			if e.Kind == cluster.Exited {
				return fmt.Errorf("a worker has ended: %s: %s", cluster.Describe(e.Status), e.Stderr)
			}
		case <-limit:
			return fmt.Errorf("the workers of the cluster aren't ready after %v", startLimit)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *clustered) address() netip.AddrPort { return tcpAddress(s.primary.Addrs()[0]) }

func (s *clustered) pids() []int { return slices.Clone(s.workers) }

func (s *clustered) others() []int { return []int{os.Getpid()} }

func (s *clustered) close() error {
	s.primary.Shutdown(context.Background())
	return nil
}
