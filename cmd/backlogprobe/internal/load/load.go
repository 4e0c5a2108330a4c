// Package load measures what a listener has to stand: how many connections
// come, how many are accepted while it has work, and how long it pauses.
package load

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/handshake"
)

// A Load is what was measured of a listener, or of a SO_REUSEPORT group.
type Load struct {
	Watched time.Duration
	Sockets int
	Limit   int // the smallest of them

	Known    bool    // whether Arrivals is
	Arrivals float64 // connections per second that got in
	Busiest  float64 // in the busiest second; 0: none was whole
	Refused  float64 // segments per second, retries included
	Tried    float64 // connections per second that were tried, got in or not; 0: unknown

	// Accepts is the rate at which connections were taken in those whole seconds
	// in which no sample found the queue empty, which are BusySeconds. The rate
	// of other seconds says what was asked of the server, not what it can do.
	Accepts     float64
	BusySeconds int     // 0: Accepts is unknown
	Idle        bool    // the queue was empty at times in every second: the server could have taken more
	Seen        float64 // accepts per second over all: the server can do that at least

	Lopsided bool // nothing, or too little, was taken from one member of a group, unlike others

	Peak   int
	Full   time.Duration
	Stall  time.Duration
	Stalls int
}

// interval is between samples.
const interval = 10 * time.Millisecond

// Measure watches some listeners of a port, which are one or a group, for d or
// until ctx is done. With CAP_NET_RAW it counts, on the wire, what is tried.
func Measure(ctx context.Context, ns *backlog.Namespace, port uint16, inodes []uint32, d time.Duration) (Load, error) {
	ours := map[uint32]bool{}
	for _, i := range inodes {
		ours[i] = true
	}
	mine := func(l backlog.Listener) bool { return ours[l.Inode] }
	w, err := backlog.Watch(ns, backlog.WatchConfig{
		Interval: interval, Select: mine, Rates: true, History: int(d/time.Second) + 3,
	})
	if err != nil {
		return Load{}, err
	}
	defer w.Close()
	wire, err := handshake.Live(ns.Path(), port)
	if err == nil {
		defer wire.Close()
	} else if !errors.Is(err, fs.ErrPermission) {
		return Load{}, err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	if err := w.Err(); err != nil {
		return Load{}, err
	}
	l := sum(w.Observations())
	if wire != nil {
		l.Tried = tried(wire)
	}
	return l, nil
}

// tried is the rate of attempts, or 0 if some weren't seen.
func tried(wire *handshake.Watcher) float64 {
	n, during := wire.Attempts()
	if during == 0 || wire.Missed() > 0 || wire.Err() != nil {
		return 0
	}
	return float64(n) / during.Seconds()
}

// busySeconds are the whole seconds, by their start, in which no sample found a
// queue empty; always: none did in all the time.
func busySeconds(seen []backlog.Observation) (busy map[int64]bool, always bool) {
	members := map[int64]int{}
	always = true
	for _, o := range seen {
		always = always && len(o.History) > 0
		for _, s := range o.History {
			always = always && s.Empty == 0
			if s.Empty == 0 && !s.Start.Before(o.Since) && !s.Start.Add(time.Second).After(o.Until) {
				members[s.Start.Unix()]++
			}
		}
	}
	busy = map[int64]bool{}
	for second, n := range members {
		if n == len(seen) {
			busy[second] = true
		}
	}
	return busy, always
}

// sum adds up the members of a group. Arrivals and accepts are the port's, so
// that each member has them all.
func sum(seen []backlog.Observation) (l Load) {
	seen = slices.DeleteFunc(seen, func(o backlog.Observation) bool { return o.Gone })
	busy, always := busySeconds(seen)
	slow, served := false, false
	for _, o := range seen {
		if l.Sockets == 0 || o.Limit < l.Limit {
			l.Limit = o.Limit
		}
		l.Sockets++
		l.Watched = max(l.Watched, o.Until.Sub(o.Since))
		l.Peak = max(l.Peak, o.Peak)
		l.Full = max(l.Full, o.Full)
		watched := o.Until.Sub(o.Since)
		slow = slow || o.Full > watched/2 || all(o.Stall, watched)
		served = served || o.Fulls == 0 && o.Stall < watched/2
		l.Stall = max(l.Stall, o.Stall)
		l.Stalls += o.Stalls
		if seconds := o.Until.Sub(o.Since).Seconds(); seconds > 0 {
			l.Refused += float64(o.Dropped) / seconds
		}
		if o.Arrived >= 0 && o.Counted > 0 && !l.Known {
			l.Known = true
			l.Arrivals = float64(o.Arrived) / o.Counted.Seconds()
			l.Seen = float64(o.Accepted) / o.Counted.Seconds()
			l.Busiest = max(float64(o.PeakArrived), 0)
			l.Idle = len(busy) == 0
			l.Accepts, l.BusySeconds = accepts(o, busy)
			if always { // then it holds for all that was counted
				l.Accepts, l.BusySeconds = l.Seen, int(o.Counted.Seconds()+0.5)
			}
		}
	}
	l.Lopsided = slow && served
	return l
}

// all reports whether a time is most of another: sampling takes the rest.
func all(part, whole time.Duration) bool { return part > whole*9/10 }

// accepts is the mean of the busy seconds.
func accepts(o backlog.Observation, busy map[int64]bool) (perSecond float64, seconds int) {
	sum := 0
	for _, s := range o.History {
		if s.Accepted >= 0 && busy[s.Start.Unix()] {
			sum += s.Accepted
			seconds++
		}
	}
	if seconds == 0 {
		return 0, 0
	}
	return float64(sum) / float64(seconds), seconds
}
