package cluster

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"onconn/sock"
)

// A Policy chooses the worker for each connection that the primary accepted.
// Each listener has one of its own, which is called from one goroutine at a time.
type Policy interface {
	// Pick returns an index into workers: those that have room, at least one,
	// in the order of their slots. Another number leaves the choice to the
	// order in which they stand.
	Pick(peer sock.Addr, workers []Load) int
}

// Load is what a policy knows of a worker.
type Load struct {
	Slot   int   // the worker's place, from 0; its successor has the same
	Active int64 // connections it holds
	Queued int64 // connections handed to it that it has not taken yet
}

// ParsePolicy reads "round-robin", "least-loaded", "source-hash" or
// "weighted=3,1,...", and returns what makes one for each listener.
func ParsePolicy(s string) (func() Policy, error) {
	name, arg, hasArg := strings.Cut(s, "=")
	switch {
	case name == "round-robin" && !hasArg:
		return NewRoundRobin, nil
	case name == "least-loaded" && !hasArg:
		return NewLeastLoaded, nil
	case name == "source-hash" && !hasArg:
		return NewSourceHash, nil
	case name == "weighted" && hasArg:
		var weights []int
		for w := range strings.SplitSeq(arg, ",") {
			n, err := strconv.Atoi(w)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("weight %q in policy %q: it is a whole number from 1", w, s)
			}
			weights = append(weights, n)
		}
		return func() Policy { return NewWeighted(weights...) }, nil
	}
	return nil, fmt.Errorf("unknown policy %q: it is round-robin, least-loaded, source-hash or weighted=N,N,... with a weight for each worker", s)
}

// NewRoundRobin gives each worker its turn.
func NewRoundRobin() Policy { return &turn{last: -1} }

type turn struct{ last int }

func (t *turn) Pick(_ sock.Addr, workers []Load) int {
	return t.after(workers, func(Load) bool { return true })
}

// after picks the next worker in turn among those that ok admits.
func (t *turn) after(workers []Load, ok func(Load) bool) int {
	first := -1
	for i, w := range workers {
		if !ok(w) {
			continue
		}
		if w.Slot > t.last {
			t.last = w.Slot
			return i
		}
		if first < 0 {
			first = i
		}
	}
	t.last = workers[first].Slot
	return first
}

// NewLeastLoaded prefers the worker with the fewest connections held and
// queued, and takes turns among equals.
func NewLeastLoaded() Policy { return &leastLoaded{turn{last: -1}} }

type leastLoaded struct{ turn turn }

func (p *leastLoaded) Pick(_ sock.Addr, workers []Load) int {
	least := workers[0].total()
	for _, w := range workers[1:] {
		least = min(least, w.total())
	}
	return p.turn.after(workers, func(w Load) bool { return w.total() == least })
}

func (l Load) total() int64 { return l.Active + l.Queued }

// NewSourceHash keeps the connections of one client address together, whatever
// its port: the worker with the highest hash of client and slot has them, so
// that a worker which leaves or comes moves only its own share; until all
// workers listen, those that do share everybody. Clients on unix sockets have no
// address and share one worker.
func NewSourceHash() Policy { return sourceHash{} }

type sourceHash struct{}

func (sourceHash) Pick(peer sock.Addr, workers []Load) int {
	var key [16 + 4]byte
	if ip := peer.AddrPort().Addr(); ip.IsValid() {
		b := ip.As16()
		copy(key[:], b[:])
	}
	best, top := 0, uint64(0)
	for i, w := range workers {
		binary.LittleEndian.PutUint32(key[16:], uint32(w.Slot))
		if h := hash(key[:]); h >= top {
			best, top = i, h
		}
	}
	return best
}

// hash is FNV-1a with a finalizer that spreads its last bytes over all bits. It
// is the same in every process, so a client finds its worker again after a
// restart of the primary.
func hash(p []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range p {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// NewWeighted gives the worker in slot i weights[i] connections a round, evenly
// interleaved; slots beyond the list have weight 1.
func NewWeighted(weights ...int) Policy {
	return &weighted{weights: weights, credit: map[int]int{}}
}

type weighted struct {
	weights []int
	credit  map[int]int // by slot
}

// Pick is smooth weighted round robin: each candidate gains its weight, the
// richest is chosen and pays what all gained.
func (p *weighted) Pick(_ sock.Addr, workers []Load) int {
	best, sum := 0, 0
	for i, w := range workers {
		weight := 1
		if w.Slot < len(p.weights) {
			weight = p.weights[w.Slot]
		}
		sum += weight
		p.credit[w.Slot] += weight
		if p.credit[w.Slot] > p.credit[workers[best].Slot] {
			best = i
		}
	}
	p.credit[workers[best].Slot] -= sum
	return best
}
