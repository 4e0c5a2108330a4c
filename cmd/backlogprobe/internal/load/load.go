// Package load measures what a listener has to stand: how many connections
// come, how many are accepted while it has work, and how long it pauses.
package load

import (
	"context"
	"errors"
	"io/fs"
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

	Lopsided bool // a member of a group was mostly full, and another never

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
	busy := busySeconds{}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for tick := time.NewTicker(interval); ; {
		all, err := ns.Listeners()
		if err != nil {
			tick.Stop()
			return Load{}, err
		}
		busy.sample(time.Now(), all, mine)
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		tick.Stop()
		if err := w.Err(); err != nil {
			return Load{}, err
		}
		l := sum(w.Observations(), busy)
		if wire != nil {
			l.Tried = tried(wire)
		}
		return l, nil
	}
}

// tried is the rate of attempts, or 0 if some weren't seen.
func tried(wire *handshake.Watcher) float64 {
	n, during := wire.Attempts()
	if during == 0 || wire.Missed() > 0 || wire.Err() != nil {
		return 0
	}
	return float64(n) / during.Seconds()
}

// busySeconds counts, for each second, the samples in which every queue held
// connections, and those in which one was empty.
type busySeconds map[int64]*struct{ busy, idle int }

func (b busySeconds) sample(now time.Time, all []backlog.Listener, mine func(backlog.Listener) bool) {
	second := b[now.Unix()]
	if second == nil {
		second = &struct{ busy, idle int }{}
		b[now.Unix()] = second
	}
	for _, l := range all {
		if mine(l) && l.Depth == 0 {
			second.idle++
			return
		}
	}
	second.busy++
}

// whole reports whether a second had work all the time, as far as was sampled.
func (b busySeconds) whole(start time.Time) bool {
	s := b[start.Unix()]
	return s != nil && s.idle == 0 && s.busy >= int(time.Second/interval)/4
}

// always reports whether no sample found a queue empty.
func (b busySeconds) always() bool {
	for _, s := range b {
		if s.idle > 0 {
			return false
		}
	}
	return true
}

// none reports whether every second had a sample that found one empty.
func (b busySeconds) none() bool {
	for second := range b {
		if b.whole(time.Unix(second, 0)) {
			return false
		}
	}
	return true
}

// sum adds up the members of a group. Arrivals and accepts are the port's, so
// that each member has them all.
func sum(seen []backlog.Observation, busy busySeconds) (l Load) {
	full, roomy := false, false
	for _, o := range seen {
		if o.Gone {
			continue
		}
		if l.Sockets == 0 || o.Limit < l.Limit {
			l.Limit = o.Limit
		}
		l.Sockets++
		l.Watched = max(l.Watched, o.Until.Sub(o.Since))
		l.Peak = max(l.Peak, o.Peak)
		l.Full = max(l.Full, o.Full)
		full = full || o.Full > o.Until.Sub(o.Since)/2
		roomy = roomy || o.Fulls == 0
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
			l.Idle = busy.none()
			l.Accepts, l.BusySeconds = accepts(o, busy)
			if busy.always() { // then it holds for all that was counted
				l.Accepts, l.BusySeconds = l.Seen, len(busy)
			}
		}
	}
	l.Lopsided = full && roomy
	return l
}

// accepts is the mean of the busy seconds, but for the first, of which a part
// may be from before.
func accepts(o backlog.Observation, busy busySeconds) (perSecond float64, seconds int) {
	sum := 0
	for _, s := range o.History {
		if s.Accepted >= 0 && busy.whole(s.Start) && s.Start.After(o.Since) {
			sum += s.Accepted
			seconds++
		}
	}
	if seconds == 0 {
		return 0, 0
	}
	return float64(sum) / float64(seconds), seconds
}
