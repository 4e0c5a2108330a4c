package sched

import (
	"fmt"
	"slices"

	"onconn/reuseport/steer"
)

// A Way is how the workers share the port.
type Way string

// The ways.
const (
	// Exclusive: one listening socket, in each worker's epoll with
	// EPOLLEXCLUSIVE. The kernel wakes the first that waits, always the same.
	Exclusive Way = "exclusive"
	// Shared: the same, and who took a connection goes to the end of the line
	// ([onconn/accept.Shared]).
	Shared Way = "shared"
	// Level: one listening socket in plain level-triggered epoll: all that wait
	// are woken.
	Level Way = "level"
	// RoundRobin: a cluster whose primary accepts and hands over in turn.
	RoundRobin Way = "rr"
	// Hash: a socket for each worker, the kernel's hash chooses.
	Hash Way = "hash"
	// LeastLoaded: the same with an eBPF program that goes by live connections
	// and heartbeats.
	LeastLoaded Way = "least"
	// Turns: the same with one that takes turns.
	Turns Way = "turns"
)

// Ways are all of them.
func Ways() []Way {
	return []Way{Exclusive, Level, Shared, RoundRobin, Hash, Turns, LeastLoaded}
}

var explanations = map[Way]string{
	Exclusive:   "one socket, EPOLLEXCLUSIVE: the first idle worker in line gets all",
	Level:       "one socket, plain epoll: all that wait are woken, one gets it",
	Shared:      "EPOLLEXCLUSIVE, and who took one goes to the end of the line",
	RoundRobin:  "the primary accepts and hands over in turn (cluster)",
	Hash:        "SO_REUSEPORT, a socket each: the kernel hashes addresses and ports",
	Turns:       "SO_REUSEPORT and an eBPF program that takes turns",
	LeastLoaded: "SO_REUSEPORT and an eBPF program: fewest connections, no hung worker",
}

// Explain says in a line what the way is.
func (w Way) Explain() string { return explanations[w] }

// ParseWay reads the name of a way.
func ParseWay(s string) (Way, error) {
	if w := Way(s); slices.Contains(Ways(), w) {
		return w, nil
	}
	return "", fmt.Errorf("there is no way %q: %v", s, Ways())
}

// policy is that of the ways that need CAP_BPF.
func (w Way) policy() (p steer.Policy, ok bool) {
	switch w {
	case Turns:
		return steer.RoundRobin, true
	case LeastLoaded:
		return steer.LeastLoaded, true
	}
	return 0, false
}

// Available tells why this process can't use the way, or nil.
func (w Way) Available() error {
	if _, ok := w.policy(); ok {
		return steer.Supported()
	}
	return nil
}
