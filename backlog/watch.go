package backlog

import (
	"errors"
	"time"
)

// WatchConfig says what to watch, and how closely. Its zero value watches every
// TCP listener 100 times a second.
type WatchConfig struct {
	Interval time.Duration       // between samples; 0: 10 ms. Each wait varies by a quarter, so that it can't keep step with the server
	Select   func(Listener) bool // nil: all
	Unix     bool                // unix sockets too
	Rates    bool                // count arrivals and accepts too: see Observation.Arrived
	History  int                 // seconds kept; 0: 60
}

// A Watcher samples the accept queues of a namespace. Its memory is bounded by
// the number of listeners and History.
type Watcher struct{}

// Watch starts to sample. The namespace must stay open until Close.
func Watch(n *Namespace, c WatchConfig) (*Watcher, error) { return nil, errors.ErrUnsupported }

// Observations is what was seen since Watch or Reset, a listener each. Those
// that have gone are kept until the next Reset.
func (w *Watcher) Observations() []Observation { return nil }

// Reset forgets peaks and sums, but not the history.
func (w *Watcher) Reset() {}

// Err is why sampling stopped, if it did.
func (w *Watcher) Err() error { return nil }

// Close stops sampling.
func (w *Watcher) Close() error { return nil }

// An Observation is what was seen of one listener.
type Observation struct {
	Listener           // as last seen
	Gone     bool      // it no longer listens
	Since    time.Time // the first sample that counts
	Until    time.Time // the last one
	Samples  int

	Peak   int       // the greatest depth
	PeakAt time.Time // when it was first seen
	Full   time.Duration
	Fulls  int // how often the queue became full

	Dropped uint32 // of Drops, those since Since

	// Stall is the longest time that the queue held connections and didn't
	// become shorter, and Stalls how many such times were longer than 4 samples.
	Stall  time.Duration
	Stalls int

	// Arrived and Accepted count connections: handshakes that ended, and those
	// taken by accept(2). They come from the connections of the port that exist,
	// and those that the kernel reports destroyed (SKNLGRP_INET_TCP_DESTROY). By
	// port: for several listeners on one port they are the sum. -1: unknown,
	// as Rates was off, or the kernel reported faster than we read.
	Arrived, Accepted int
	PeakArrived       int // in the busiest whole second; -1: unknown

	History []Second // oldest first; the last may be unfinished
}

// A Second is a listener during one second.
type Second struct {
	Start    time.Time
	Max      int           // greatest depth
	Full     time.Duration // time with a full queue
	Dropped  uint32
	Arrived  int // -1: unknown
	Accepted int // -1: unknown
}
