package backlog

import (
	"errors"
	"time"
)

// A Load is what a listener has to stand.
type Load struct {
	Arrivals float64       // connections per second, in the busiest time that counts
	Accepts  float64       // that the server can take per second; 0: unknown
	Stall    time.Duration // the longest time without an accept
	Promise  time.Duration // the longest that a client may wait for accept; 0: no promise
	Bytes    int           // that a client sends before its connection is accepted
}

// An Advice is a backlog, and the arithmetic that leads to it.
type Advice struct {
	Backlog int     // for listen(2)
	Mean    float64 // arrivals during the longest stall, λS
	Margin  float64 // three standard deviations of a Poisson distribution, 3√(λS)

	// Overloaded: more arrive than are accepted. Then no backlog is enough:
	// one of Backlog fills in FillsIn, and Wait is what its last client waits.
	Overloaded bool
	FillsIn    time.Duration

	Wait   time.Duration // of the last client in a full queue, Backlog/μ; 0: unknown
	Most   int           // the greatest backlog that keeps the promise, μ·Promise; 0: none
	Memory int64         // bytes of kernel memory that a full queue holds
}

// Advise says what backlog a load needs. EINVAL-like mistakes, a negative number
// or none at all, are errors.
func Advise(l Load) (Advice, error) { return Advice{}, errors.ErrUnsupported }
