package load

import (
	"errors"
	"math"
	"time"

	"onconn/backlog"
)

// An Advice is what follows from a load, for each socket of a group.
type Advice struct {
	backlog.Advice
	Load         backlog.Load  // that it was computed for
	Recommended  int           // at least what was seen, too; 0: no backlog is enough
	Retries      bool          // Load.Arrivals has refused segments in it
	Stands       time.Duration // the stall that the limit as it is stands at this rate
	LastWaits    time.Duration // what the last in a queue filled to the limit waits; 0: unknown
	FillsIn      time.Duration // how long the limit as it is lasts, overloaded
	BreaksPledge bool          // LastWaits is longer than the promise
}

// ErrIdle means that there was nothing to measure.
var ErrIdle = errors.New("nothing arrived meanwhile, so there is nothing to compute with: try again under load, or give --arrivals, --accepts and --stall")

// ErrStuck means that the server takes nothing from its queue.
var ErrStuck = errors.New("connections wait, and nothing was accepted meanwhile: no backlog mends that, look at the server (blocked, stopped, out of descriptors?)")

// ErrLopsided means that the load of a group says nothing about one member.
var ErrLopsided = errors.New("a socket of the group was full, or never became shorter, while others were served: no backlog mends that, look at the process that holds it (backlogprobe -v names it)")

// Advise computes a backlog. A stall that is not 0 replaces the measured one.
func Advise(l Load, stall, promise time.Duration) (Advice, error) {
	sockets := float64(max(l.Sockets, 1))
	in := backlog.Load{
		Arrivals: max(l.Busiest, l.Arrivals) / sockets,
		Accepts:  l.Accepts / sockets,
		Stall:    l.Stall,
		Promise:  promise,
	}
	if stall > 0 {
		in.Stall = stall
	}
	switch {
	case l.Known && l.Seen == 0 && (l.Full > 0 || l.Peak > 0 && all(l.Stall, l.Watched)):
		return Advice{}, ErrStuck
	case l.Lopsided:
		return Advice{}, ErrLopsided
	}
	if stall == 0 { // one between samples isn't seen
		in.Stall = max(in.Stall, interval)
	}
	// While a queue refuses, what gets in is what the server takes. What wants
	// to get in is seen on the wire, or else unknown, as clients come back, but no
	// more than this.
	refuses := l.Refused > 0 && l.Full > l.Watched/2
	retries := refuses && l.Tried == 0
	switch {
	case retries:
		in.Arrivals = (l.Arrivals + l.Refused) / sockets
	case refuses:
		in.Arrivals = max(l.Tried, l.Arrivals) / sockets
	}
	if in.Arrivals == 0 {
		return Advice{}, ErrIdle
	}
	computed, err := backlog.Advise(in)
	if err != nil {
		return Advice{}, err
	}
	a := Advice{Advice: computed, Load: in, Retries: retries}
	// More in one second than are accepted in one is a burst, unless it goes on.
	mean := l.Arrivals / sockets
	a.Overloaded = in.Accepts > 0 && (refuses && in.Arrivals > in.Accepts || mean > in.Accepts)
	a.limits(l, promise)
	return a, nil
}

// limits compares with the limit that the listener has.
func (a *Advice) limits(l Load, promise time.Duration) {
	in := a.Load
	switch {
	case a.Overloaded:
		a.FillsIn = seconds(float64(l.Limit+1) / (in.Arrivals - in.Accepts))
	default:
		a.Recommended = a.Backlog
		if in.Accepts > 0 && in.Arrivals > in.Accepts { // the burst of a second
			a.Recommended = max(a.Recommended, int(math.Ceil(in.Arrivals-in.Accepts)))
		}
		a.Recommended = max(a.Recommended, l.Peak)
	}
	a.Stands = stands(l.Limit+1, in.Arrivals)
	if in.Accepts > 0 {
		a.LastWaits = seconds(float64(l.Limit+1) / in.Accepts)
		a.BreaksPledge = promise > 0 && a.LastWaits > promise
	}
}

// stands solves capacity = λS + 3√(λS) for S.
func stands(capacity int, arrivals float64) time.Duration {
	root := (math.Sqrt(9+4*float64(capacity)) - 3) / 2
	return seconds(root * root / arrivals)
}

func seconds(s float64) time.Duration {
	return time.Duration(min(s, 1e9) * float64(time.Second))
}
