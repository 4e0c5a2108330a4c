// Package load is the client of the benchmarks: it makes connections or requests, a
// fixed number at a time or at a fixed rate, and says how long each took. It is one
// thread, since it shares the machine with what it measures.
package load

import (
	"errors"
	"fmt"
	"time"
)

// A Work is what is asked of the server for each connection.
type Work string

const (
	Close     Work = "close"     // connect, and wait for the server to close
	HTTP      Work = "http"      // one GET with Connection: close
	KeepAlive Work = "keepalive" // one GET after the other
)

// Config says what to do. Exactly one of InFlight and Rate is set.
type Config struct {
	Addr     string
	Work     Work
	InFlight int     // closed loop: so many at a time
	Rate     float64 // open loop: so many begin in a second, whatever becomes of the others
	For      time.Duration
}

// Grace is how long a connection that was begun may take at the end.
const Grace = 2 * time.Second

// Result is what became of it.
type Result struct {
	Done    int            // with the right answer
	Failed  map[string]int // by kind: refused, reset, closed, wrong, length, timeout, ...
	Late    int            // of an open loop: begun more than a millisecond after its time
	Elapsed time.Duration  // until the last one ended
	// Latency is from when a connection, or a request of KeepAlive, should have begun:
	// in an open loop that is before it did, if the client was late.
	Latency Histogram
}

// Errors is the sum of Failed.
func (r *Result) Errors() (n int) {
	for _, k := range r.Failed {
		n += k
	}
	return n
}

// Check says what is wrong with it. For isn't looked at.
func (c Config) Check() error {
	switch {
	case c.Work != Close && c.Work != HTTP && c.Work != KeepAlive:
		return fmt.Errorf("load: no work %q; there are %s, %s and %s", c.Work, Close, HTTP, KeepAlive)
	case (c.InFlight > 0) == (c.Rate > 0):
		return errors.New("load: either a number in flight or a rate")
	case c.Work == KeepAlive && c.Rate > 0:
		return errors.New("load: keepalive goes with a number in flight only")
	}
	return nil
}
