package backlog

import "time"

// An Observation is what was seen of one listener.
type Observation struct {
	Listener           // as last seen
	Gone     bool      // it no longer listens
	Since    time.Time // the first sample that counts
	Until    time.Time // the last one
	Samples  int

	Peak   int           // the greatest depth
	PeakAt time.Time     // when it was first seen
	Full   time.Duration // how long the queue was full: the samples that found it so, each for the time since the one before
	Fulls  int           // how often it became full, or was at Since

	Dropped uint32 // of Drops, those since Since

	// Stall is the longest time that the queue held connections and didn't
	// become shorter, and Stalls how many such times were longer than 4 samples.
	// A queue that others enter as fast as some are accepted looks the same.
	Stall  time.Duration
	Stalls int

	// Arrived and Accepted count connections: handshakes that ended, and those
	// taken by accept(2). They come from the connections of the port that exist,
	// and those that the kernel reports destroyed (SKNLGRP_INET_TCP_DESTROY),
	// and none counts twice. One that has ended and whose descriptor is still open
	// counts when that is closed, one that ends while we count with the next
	// count; some that end just before the first one may be wrong. By port: for
	// several listeners on one port they are the sum. -1: unknown, as Rates was
	// off, or nothing has been counted yet.
	//
	// Counting walks all connections of the host, so it is done at the end of each
	// second, and by Observations when that is cheap or the last one is a second
	// old; less often if it would take more than 2 % of a CPU, or 10 % for
	// Observations. A time in which the kernel reported faster than we
	// read is left out, and counting begins anew. Counted is how much time they
	// cover: the arrivals per second are Arrived / Counted.Seconds().
	Arrived, Accepted int
	Counted           time.Duration
	PeakArrived       int // in the busiest second; -1: unknown

	// History is oldest first; the last may be unfinished. It begins when something
	// is first seen to wait, to be dropped or to arrive.
	History []Second
}

// A Second is a listener during one second.
type Second struct {
	Start    time.Time
	Max      int           // greatest depth
	Full     time.Duration // time with a full queue
	Empty    time.Duration // time with an empty queue
	Dropped  uint32
	Arrived  int // -1: unknown, as it wasn't counted at both ends
	Accepted int // -1: unknown
}

// A track is what a Watcher keeps of one listener.
type track struct {
	id uint64
	o  Observation // without History

	drops        uint32    // at Since
	stalled      time.Time // since when the queue hasn't become shorter; zero: it is empty
	stallSamples int
	counted      int      // depth at the last count
	owed         arrivals // none above 0: by later counts

	capacity int
	history  []Second // a ring once it has reached its capacity
	newest   int
}

func (t *track) sample(l *Listener, now time.Time) {
	before := t.o.Listener
	t.o.Listener = *l
	if t.o.Since.IsZero() {
		t.o.Until = now
		t.reset()
		before = *l
	} else {
		t.o.Samples++
	}
	elapsed := now.Sub(t.o.Until) // wake-ups come late
	t.o.Until = now
	if l.Depth > t.o.Peak {
		t.o.Peak, t.o.PeakAt = l.Depth, now
	}
	full, empty := time.Duration(0), time.Duration(0)
	if l.Depth == 0 {
		empty = elapsed
	}
	if l.Depth >= l.Capacity() {
		full = elapsed
		if before.Depth < before.Capacity() {
			t.o.Fulls++
		}
	}
	t.o.Full += full
	t.o.Dropped = l.Drops - t.drops
	t.stall(before.Depth, now)

	if dropped := l.Drops - before.Drops; l.Depth > 0 || dropped > 0 || t.history != nil {
		start := now.Truncate(time.Second)
		if t.history == nil && now.Add(-elapsed).After(start) { // it was empty until now
			empty += now.Add(-elapsed).Sub(start)
		}
		if s := t.second(start); s != nil {
			s.Max = max(s.Max, l.Depth)
			s.Full += full
			s.Empty += empty
			s.Dropped += dropped
		}
	}
}

// reset makes the last sample the first.
func (t *track) reset() {
	l := t.o.Listener
	t.o = Observation{Listener: l, Since: t.o.Until, Until: t.o.Until, Samples: 1, Peak: l.Depth, PeakAt: t.o.Until, PeakArrived: -1}
	if l.Depth >= l.Capacity() {
		t.o.Fulls = 1
	}
	t.drops = l.Drops
}

// stall measures how long the queue hasn't become shorter.
func (t *track) stall(before int, now time.Time) {
	const long = 4 // samples
	depth := t.o.Depth
	if depth == 0 {
		t.stalled = time.Time{}
		return
	}
	if t.stalled.IsZero() || depth < before {
		t.stalled, t.stallSamples = now, 0
		return
	}
	t.stallSamples++
	if t.stallSamples == long+1 {
		t.o.Stalls++
	}
	t.o.Stall = max(t.o.Stall, now.Sub(t.stalled))
}

// second is the entry of a second, made if it is later than all; nil if it is
// earlier and has none.
func (t *track) second(start time.Time) *Second {
	if len(t.history) > 0 && !start.After(t.ago(0).Start) {
		for i := range t.history {
			if s := t.ago(i); s.Start.Equal(start) {
				return s
			}
		}
		return nil
	}
	if t.history == nil {
		t.history = make([]Second, 0, t.capacity)
	}
	s := Second{Start: start, Arrived: -1, Accepted: -1}
	if len(t.history) < t.capacity {
		t.history = append(t.history, s)
		t.newest = len(t.history) - 1
	} else {
		t.newest = (t.newest + 1) % t.capacity
		t.history[t.newest] = s
	}
	return &t.history[t.newest]
}

// ago is the entry of i entries before the newest.
func (t *track) ago(i int) *Second {
	n := len(t.history)
	return &t.history[(t.newest-i+n)%n]
}

func (t *track) observation() Observation {
	o := t.o
	if o.Counted == 0 {
		o.Arrived, o.Accepted = -1, -1
	}
	o.History = make([]Second, len(t.history))
	for i := range t.history {
		o.History[len(t.history)-1-i] = *t.ago(i)
	}
	return o
}
