package sched

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// run stops one worker after the other, from begin on, until ctx ends; then all
// go on.
func (s Stall) run(ctx context.Context, begin time.Time, pids []int, first int) {
	if s.For == 0 || s.Every == 0 {
		return
	}
	next := begin.Add((s.Every - s.For) / 2)
	for i := first; ; i++ {
		if !sleep(ctx, time.Until(next)) {
			return
		}
		pid := pids[i%len(pids)]
		unix.Kill(pid, unix.SIGSTOP)
		sleep(ctx, time.Until(next.Add(s.For)))
		unix.Kill(pid, unix.SIGCONT)
		next = next.Add(s.Every)
	}
}

// sleep reports whether the time has passed before the end of ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
