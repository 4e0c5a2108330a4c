package main

import (
	"context"
	"fmt"
	"time"

	"onconn/internal/bench/clock"
	"onconn/internal/bench/load"
)

// runMemory measures each server anew in each round: what a process once had it seldom
// gives back.
func (b *bench) runMemory(ctx context.Context, t Table, r *Run) error {
	r.Bytes = map[string][]float64{}
	rounds := b.roundsOf(t)
	for round := range rounds {
		for _, name := range t.Servers {
			b.step("%s: round %d of %d, %s", t.Name, round+1, rounds, name)
			s, err := b.startOne(ctx, t, name, r)
			if err != nil {
				return err
			}
			if s == nil {
				continue
			}
			per, err := b.memory(s, b.idleOf(t), t.Load.Work == load.KeepAlive)
			s.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			r.Bytes[name] = append(r.Bytes[name], per)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// memory is how much a server grows by n connections, for each. One connection before
// them makes it have what it needs for the first.
func (b *bench) memory(s *server, n int, ask bool) (float64, error) {
	release, err := b.hold(s, 1, ask)
	if err != nil {
		return 0, err
	}
	defer func() { release() }()
	pids := clock.Tree(s.cmd.Process.Pid)
	before, err := clock.Anonymous(pids)
	if err != nil {
		return 0, err
	}
	many, err := b.hold(s, n, ask)
	if err != nil {
		return 0, err
	}
	defer many()
	after, err := settled(pids)
	return float64(after-before) / float64(n), err
}

// settled is the memory of processes that may not yet have done all that they were
// asked for: when it has not changed for a while, or after 10 s.
func settled(pids []int) (now int64, err error) {
	end := time.Now().Add(10 * time.Second)
	for same := 0; same < 3 && err == nil && time.Now().Before(end); {
		before := now
		time.Sleep(100 * time.Millisecond)
		if now, err = clock.Anonymous(pids); now == before {
			same++
		} else {
			same = 0
		}
	}
	return now, err
}
