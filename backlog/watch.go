package backlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// WatchConfig says what to watch, and how closely. Its zero value watches every
// TCP listener 100 times a second.
type WatchConfig struct {
	// Interval is the time between samples; 0: 10 ms. Each wait varies by a
	// quarter, so that it can't keep step with the server. With thousands of
	// listeners it grows, so that sampling takes no more than about 4 % of a CPU,
	// unless Select chooses a few; then a new one is noticed within a second.
	Interval time.Duration
	// Select chooses listeners; nil: all. It is asked about those not chosen yet
	// at each sample, and must not call the Watcher.
	Select  func(Listener) bool
	Unix    bool // unix sockets too
	Rates   bool // count arrivals and accepts too: see Observation.Arrived
	History int  // seconds kept; 0: 60
}

// A Watcher samples the accept queues of a namespace. Its memory is bounded by
// the number of listeners and History. Its methods may be called from several
// goroutines.
type Watcher struct {
	ns     *Namespace
	config WatchConfig
	stop   chan struct{}
	done   sync.WaitGroup
	once   sync.Once

	counting sync.Mutex // held during a count; before mu

	mu       sync.Mutex
	listed   int // by the last list of all
	listedAt time.Time
	tracks   []*track // in the order in which they appeared
	index    map[uint64]*track
	gone     int
	rates    *rates // nil: none
	err      error
}

// Watch starts to sample. The namespace must stay open until Close.
func Watch(n *Namespace, c WatchConfig) (*Watcher, error) {
	if c.Interval < 0 || c.History < 0 {
		return nil, fmt.Errorf("watch: Interval is %v and History %d: neither can be negative", c.Interval, c.History)
	}
	if c.Interval == 0 {
		c.Interval = 10 * time.Millisecond
	}
	if c.History == 0 {
		c.History = 60
	}
	w := &Watcher{ns: n, config: c, stop: make(chan struct{}), index: map[uint64]*track{}}
	if err := w.sample(); err != nil {
		return nil, err
	}
	if c.Rates {
		if err := w.startRates(); err != nil {
			return nil, err
		}
	}
	w.done.Go(w.run)
	return w, nil
}

// Observations is what was seen since Watch or Reset, a listener each, in the
// order in which they appeared. Those that have gone are kept until the next
// Reset, but not more than 1,000.
func (w *Watcher) Observations() []Observation {
	w.countNow()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Observation, len(w.tracks))
	for i, t := range w.tracks {
		all[i] = t.observation()
	}
	return all
}

// Reset forgets peaks and sums, but not the history.
func (w *Watcher) Reset() {
	w.countNow()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(w.gone)
	for _, t := range w.tracks {
		t.reset()
	}
}

// Err is why sampling stopped, if it did.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close stops sampling. What was seen can still be read.
func (w *Watcher) Close() (err error) {
	w.once.Do(func() {
		close(w.stop)
		w.done.Wait()
		err = w.stopRates()
	})
	return err
}

func (w *Watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// run samples until Close, or an error.
func (w *Watcher) run() {
	const share = 25 // of the time, for sampling
	timer := time.NewTimer(0)
	defer timer.Stop()
	cost := time.Duration(0)
	next := time.Now().Add(w.config.Interval)
	for {
		timer.Reset(w.pause(next))
		select {
		case <-w.stop:
			return
		case <-timer.C:
		}
		start := time.Now()
		if err := w.hear(); err != nil {
			w.fail(err)
			return
		}
		if start.Before(next) {
			continue
		}
		used, err := cpuTime(w.sample)
		if err != nil {
			w.fail(err)
			return
		}
		cost = smooth(cost, used)
		interval := max(w.config.Interval, share*cost)
		next = start.Add(time.Duration(float64(interval) * (0.75 + rand.Float64()/2)))
	}
}

// pause is how long to wait for the next sample, or for reports: their buffer
// doesn't hold those of a second.
func (w *Watcher) pause(next time.Time) time.Duration {
	d := time.Until(next)
	if w.rates != nil {
		d = min(d, 15*time.Millisecond)
	}
	return d
}

// sample reads every queue once.
func (w *Watcher) sample() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := w.listeners()
	if errors.Is(err, errChanged) {
		return nil // the next one makes good for it
	}
	if err == nil {
		w.take(all, time.Now())
	}
	return err
}

// take adds one sample of all listeners.
func (w *Watcher) take(all []Listener, now time.Time) {
	for i := range all {
		w.see(&all[i], now)
	}
	for _, t := range w.tracks {
		if !t.o.Gone && t.o.Until != now {
			t.o.Gone = true
			w.gone++
		}
	}
	w.forget(w.gone - mostGone)
}

// listeners lists all, or between two such lists just those that are watched, if
// they are few and the list is long.
func (w *Watcher) listeners() (all []Listener, err error) {
	const few, long, often = 8, 500, time.Second
	if w.config.Select != nil && !w.config.Unix && len(w.tracks) <= few && w.listed > long && time.Since(w.listedAt) < often {
		return w.watched()
	}
	if all, err = w.ns.Listeners(); err != nil {
		return nil, err
	}
	w.listed, w.listedAt = len(all), time.Now()
	if w.config.Unix {
		local, err := w.ns.UnixListeners()
		return append(all, local...), err
	}
	return all, nil
}

// watched reads those that are watched, one by one.
func (w *Watcher) watched() (all []Listener, err error) {
	for _, t := range w.tracks {
		if t.o.Gone {
			continue
		}
		l, err := w.ns.Lookup(t.o.Addr.AddrPort(), t.o.Cookie)
		switch {
		case err == nil:
			all = append(all, l)
		case !errors.Is(err, unix.ENOENT): // else it listens no more
			return nil, err
		}
	}
	return all, nil
}

// see takes one reading of one listener.
func (w *Watcher) see(l *Listener, now time.Time) {
	id := l.Cookie
	if id == 0 {
		id = 1<<63 | uint64(l.Inode) // no cookie is that great
	}
	t := w.index[id]
	if t == nil {
		if w.config.Select != nil && !w.config.Select(*l) {
			return
		}
		t = &track{id: id, capacity: w.config.History}
		w.index[id] = t
		w.tracks = append(w.tracks, t)
	}
	if t.o.Gone { // it was shut down, and listens again
		t.o.Gone = false
		w.gone--
	}
	t.sample(l, now)
}

// mostGone bounds what a host that opens listeners all the time costs.
const mostGone = 1000

// forget drops the first n of the listeners that have gone.
func (w *Watcher) forget(n int) {
	if n <= 0 {
		return
	}
	kept := w.tracks[:0]
	for _, t := range w.tracks {
		if t.o.Gone && n > 0 {
			n--
			w.gone--
			delete(w.index, t.id)
			continue
		}
		kept = append(kept, t)
	}
	clear(w.tracks[len(kept):])
	w.tracks = kept
}
