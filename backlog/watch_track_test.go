package backlog

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"onconn/sock"
)

// synthetic is a Watcher that is given its samples, and the time.
func synthetic(history int) *Watcher {
	return &Watcher{config: WatchConfig{History: history}, index: map[uint64]*track{}}
}

func reading(depth, limit int, drops uint32) Listener {
	return Listener{Addr: inet("127.0.0.1:80"), Type: sock.Stream, Queue: Queue{depth, limit}, Drops: drops, Cookie: 1}
}

var start = time.Date(2026, 11, 22, 12, 0, 0, 500e6, time.UTC) // in the middle of a second

func TestTrack(t *testing.T) {
	const ms = time.Millisecond
	w := synthetic(60)
	at := start
	for _, s := range []struct {
		wait  time.Duration
		depth int
		drops uint32
	}{
		{0, 0, 7},
		{10 * ms, 2, 7},
		{10 * ms, 2, 7},
		{10 * ms, 1, 7}, // a stall of 10 ms
		{10 * ms, 3, 7},
		{10 * ms, 4, 7}, // full
		{90 * ms, 4, 9}, // a late sample
		{10 * ms, 4, 9},
		{10 * ms, 4, 9}, // a stall of 130 ms, 5 samples long
		{10 * ms, 2, 9},
		{10 * ms, 0, 9},
		{400 * ms, 4, 4294967295}, // full again, in the next second
		{10 * ms, 0, 4},           // the counter begins anew
	} {
		at = at.Add(s.wait)
		w.take([]Listener{reading(s.depth, 3, s.drops)}, at)
	}
	got := w.Observations()[0]
	wanted := Observation{
		Listener: reading(0, 3, 4), Since: start, Until: at, Samples: 13,
		Peak: 4, PeakAt: start.Add(50 * ms),
		Full: 10*ms + 90*ms + 10*ms + 10*ms + 400*ms, Fulls: 2, Dropped: 4294967293,
		Stall: 130 * ms, Stalls: 1,
		Arrived: -1, Accepted: -1, PeakArrived: -1,
	}
	history := []Second{
		{start.Truncate(time.Second), 4, 120 * ms, 510 * ms, 2, -1, -1},
		{start.Add(500 * ms), 4, 400 * ms, 10 * ms, 4294967291, -1, -1},
	}
	if len(got.History) != 2 || got.History[0] != history[0] || got.History[1] != history[1] {
		t.Errorf("history %+v,\nnot %+v", got.History, history)
	}
	got.History = nil
	if !equal(got, wanted) {
		t.Errorf("%+v,\nnot %+v", got, wanted)
	}

	w.Reset()
	got = w.Observations()[0]
	wanted = Observation{Listener: reading(0, 3, 4), Since: at, Until: at, Samples: 1, PeakAt: at, Arrived: -1, Accepted: -1, PeakArrived: -1}
	if len(got.History) != 2 {
		t.Errorf("after Reset the history is %+v", got.History)
	}
	if got.History = nil; !equal(got, wanted) {
		t.Errorf("after Reset %+v,\nnot %+v", got, wanted)
	}
}

// equal compares all but the histories.
func equal(a, b Observation) bool {
	return a.Listener == b.Listener && a.Gone == b.Gone && a.Since.Equal(b.Since) && a.Until.Equal(b.Until) &&
		a.Samples == b.Samples && a.Peak == b.Peak && a.PeakAt.Equal(b.PeakAt) && a.Full == b.Full && a.Fulls == b.Fulls &&
		a.Dropped == b.Dropped && a.Stall == b.Stall && a.Stalls == b.Stalls &&
		a.Arrived == b.Arrived && a.Accepted == b.Accepted && a.PeakArrived == b.PeakArrived
}

func TestTrackHistory(t *testing.T) {
	w := synthetic(3)
	w.take([]Listener{reading(0, 3, 0)}, start)
	if o := w.Observations()[0]; o.History == nil || len(o.History) != 0 {
		t.Errorf("an idle listener has a history: %+v", o.History)
	}
	for i := range 10 {
		w.take([]Listener{reading(i, 20, 0)}, start.Add(time.Duration(i)*time.Second))
	}
	w.take([]Listener{reading(15, 20, 0)}, start.Add(7*time.Second)) // the clock was set back
	w.take([]Listener{reading(16, 20, 0)}, start.Add(2*time.Second)) // to before the history
	h := w.Observations()[0].History
	if len(h) != 3 || h[0].Max != 15 || h[1].Max != 8 || h[2].Max != 9 || !h[2].Start.Equal(start.Add(9*time.Second).Truncate(time.Second)) {
		t.Errorf("the last 3 of 10 seconds: %+v", h)
	}
}

// TestWatchMemory has many idle listeners, and many that come and go.
func TestWatchMemory(t *testing.T) {
	const listeners = 10_000
	all := make([]Listener, listeners)
	fill := func(depth int, cookie uint64) {
		for i := range all {
			all[i] = reading(depth, 3, 0)
			all[i].Cookie = cookie + uint64(i)
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	fill(0, 1)
	w := synthetic(60)
	before := heap()
	at := start
	w.take(all, at)
	if each := (heap() - before) / listeners; each > 1000 {
		t.Errorf("%d bytes for an idle listener", each)
	}
	for i := range 10 {
		at = at.Add(time.Second)
		fill(0, uint64(1+i*listeners))
		w.take(all, at)
	}
	if len(w.tracks) != listeners+mostGone || len(w.index) != len(w.tracks) || w.gone != mostGone {
		t.Errorf("%d and %d are kept, %d of them gone, of %d", len(w.tracks), len(w.index), w.gone, listeners)
	}
	w.Reset()
	if len(w.tracks) != listeners || len(w.index) != listeners || w.gone != 0 {
		t.Errorf("after Reset %d and %d are kept, %d of them gone", len(w.tracks), len(w.index), w.gone)
	}
	runtime.KeepAlive(w)
}

// TestTrackOwes has connections end between two counts that are destroyed later.
func TestTrackOwes(t *testing.T) {
	w := synthetic(60)
	w.take([]Listener{reading(0, 3, 0)}, start)
	at := start.Truncate(time.Second)
	total := 0
	for _, a := range []arrivals{{5, 4}, {-2, -1}, {-1, 0}, {4, 4}, {0, -1}, {3, 3}} {
		w.tracks[0].add(a, at, at.Add(time.Second))
		at = at.Add(time.Second)
		o := w.Observations()[0]
		if o.Arrived < total {
			t.Errorf("fewer than before: %+v", o)
		}
		total = o.Arrived
	}
	o := w.Observations()[0]
	if o.Arrived != 9 || o.Accepted != 9 || o.PeakArrived != 5 || o.Counted != 6*time.Second {
		t.Errorf("%+v", o)
	}
	var arrived, accepted []int
	for _, s := range o.History {
		arrived = append(arrived, s.Arrived)
		accepted = append(accepted, s.Accepted)
	}
	if !slices.Equal(arrived, []int{5, 0, 0, 1, 0, 3}) || !slices.Equal(accepted, []int{4, 0, 0, 3, 0, 2}) {
		t.Errorf("arrived %v, accepted %v", arrived, accepted)
	}
}

func TestSmooth(t *testing.T) {
	cost := time.Duration(0)
	for _, measured := range []time.Duration{time.Millisecond, time.Second, time.Second} {
		cost = smooth(cost, measured)
	}
	if cost > 2*time.Millisecond {
		t.Errorf("two outliers make the cost %v", cost)
	}
	for range 100 {
		cost = smooth(cost, time.Second)
	}
	if cost != time.Second {
		t.Errorf("after 100 samples of a second the cost is %v", cost)
	}
	if cost = smooth(cost, time.Millisecond); cost != time.Millisecond {
		t.Errorf("cheap again, but the cost is %v", cost)
	}
}

// TestCPUTime: what others do meanwhile costs nothing.
func TestCPUTime(t *testing.T) {
	failed := errors.New("failed")
	waited := time.Now()
	used, err := cpuTime(func() error { time.Sleep(100 * time.Millisecond); return failed })
	if err != failed || used > time.Since(waited)/2 {
		t.Errorf("%v for waiting, %v", used, err)
	}
	used, err = cpuTime(func() error {
		for start := threadTime(); threadTime()-start < 10*time.Millisecond; {
		}
		return nil
	})
	if err != nil || used < 10*time.Millisecond {
		t.Errorf("%v for work of 10 ms, %v", used, err)
	}
}
