package sched

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A Case is a load, and what happens meanwhile.
type Case struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Load  Load   `json:"load"`
	Stall Stall  `json:"stall,omitzero"`
}

// A Load is what the clients do.
type Load struct {
	// Connections come within For, at random moments.
	Connections int           `json:"connections"`
	For         time.Duration `json:"for_ns"`

	// Work is what requests cost. A connection has one request and ends with the
	// answer, unless it stays.
	Work []Work `json:"work"`

	// Stay has connections stay until the end, with another request each Again.
	Stay  bool          `json:"stay,omitempty"`
	Again time.Duration `json:"again_ns,omitempty"`

	// Rounds are how many times, each Again after For, all that stay send their
	// request at one moment. Then the requests of the rounds are measured, and
	// the first one of each connection costs nothing.
	Rounds int `json:"rounds,omitempty"`
}

// Work is the CPU time of a share of the requests.
type Work struct {
	Share float64       `json:"share"`
	CPU   time.Duration `json:"cpu_ns"`
}

// A Stall stops one worker for a time, each Every another one.
type Stall struct {
	For   time.Duration `json:"for_ns"`
	Every time.Duration `json:"every_ns"`
}

// mean is the CPU time of a request on average.
func mean(work []Work) (d time.Duration) {
	for _, w := range work {
		d += time.Duration(w.Share * float64(w.CPU))
	}
	return d
}

// loadTo is how many such requests in that time keep a part of the CPUs busy.
func loadTo(part float64, cpus int, work []Work, during time.Duration) int {
	return int(math.Round(part * float64(cpus) * float64(during) / float64(mean(work))))
}

// Scale is the case with its times and its number of connections scaled, at the
// same rate. Rounds are fewer, too, but one at least. Stalls are as long and as
// frequent as before in a longer case, and shorter in a shorter one.
func (c Case) Scale(by float64) Case {
	scale := func(n int) int { return int(math.Round(float64(n) * by)) }
	c.Load.Connections = max(1, scale(c.Load.Connections))
	c.Load.For = time.Duration(float64(c.Load.For) * by)
	if c.Load.Rounds > 0 {
		c.Load.Rounds = max(1, scale(c.Load.Rounds))
	}
	if by < 1 {
		c.Stall.For = time.Duration(float64(c.Stall.For) * by)
		c.Stall.Every = time.Duration(float64(c.Stall.Every) * by)
	}
	return c
}

// takes is the time from the first request to the last.
func (l Load) takes() time.Duration { return l.For + time.Duration(l.Rounds)*l.Again }

// An action is a request of a connection that is due.
type action struct {
	due      time.Duration // since the begin
	conn     int
	cpu      time.Duration
	measured bool
}

// actions are those of a load, by time. The same seed gives the same ones.
func (l Load) actions(seed uint64) []action {
	random := rand.New(rand.NewPCG(seed, 0))
	var all []action
	for i := range l.Connections {
		first := action{due: time.Duration(random.Float64() * float64(l.For)), conn: i, cpu: l.draw(random), measured: l.Rounds == 0}
		if l.Rounds > 0 {
			first.cpu = 0
		}
		all = append(all, first)
		for round := range l.Rounds {
			all = append(all, action{due: l.For + time.Duration(round+1)*l.Again, conn: i, cpu: l.draw(random), measured: true})
		}
		if l.Stay && l.Rounds == 0 && l.Again > 0 {
			for due := first.due + l.Again; due < l.For; due += l.Again {
				all = append(all, action{due: due, conn: i, cpu: l.draw(random)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b action) int { return int(a.due - b.due) })
	return all
}

func (l Load) draw(random *rand.Rand) time.Duration {
	x := random.Float64()
	for _, w := range l.Work {
		if x < w.Share {
			return w.CPU
		}
		x -= w.Share
	}
	return 0
}
