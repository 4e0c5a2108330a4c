package epoll

import (
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	// lookEvery bounds what looking costs, about 1 µs. It is also how often sysmon
	// asks the runtime's poller when no P does.
	lookEvery = 10 * time.Millisecond

	// calmLooks is how many looks in a row must find a P free before the runtime's
	// poller is trusted again.
	calmLooks = 8
)

// A saturation knows whether goroutines that are ready to run keep all Ps busy, so
// that none is idle and waits in the runtime's poller. Who parks there then is
// woken late, by up to 10 ms; measuring how late would take as many late wake-ups.
type saturation struct {
	blocks bool // better wait in a thread that the kernel wakes
	calm   int  // looks since then that found a P free

	born    time.Time // time.Since is cheaper than time.Now
	last    time.Duration
	samples [2]metrics.Sample
}

func newSaturation() saturation {
	return saturation{born: time.Now(), samples: [2]metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
	}}
}

// look is called when a wait is over, before anything is made of it that could
// make goroutines ready.
func (s *saturation) look() {
	if now := time.Since(s.born); now-s.last >= lookEvery {
		s.last = now
		s.decide(s.saturated())
	}
}

// saturated reports whether no P would be left for the poller if this goroutine
// parked now: it and those that could run need more than there are.
func (s *saturation) saturated() bool {
	metrics.Read(s.samples[:])
	return s.samples[0].Value.Uint64()+s.samples[1].Value.Uint64() > uint64(runtime.GOMAXPROCS(0))
}

// decide blocks at once, and parks again after a while without a reason to block.
func (s *saturation) decide(saturated bool) {
	switch {
	case saturated:
		s.blocks, s.calm = true, 0
	case s.blocks:
		s.calm++
		s.blocks = s.calm < calmLooks
	}
}
