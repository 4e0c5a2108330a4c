package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"onconn/cluster"
	"onconn/internal/cli"
	"onconn/reuseport"
	"onconn/reuseport/steer"
)

// A steering is how the kernel is to choose in reuseport mode, as --policy has it:
// by an eBPF program, or by what needs no privilege.
type steering struct {
	program  steer.Config
	fallback reuseport.Steering
	weights  []int
	lack     error // why there can be no program, or nil
}

// steer finds out what --policy can be here. Without one the hash needs no saying.
func (f *runFlags) steer() (*steering, error) {
	if f.policy == "" || f.mode != cluster.ReusePort.String() {
		return nil, nil
	}
	name, _, _ := strings.Cut(f.policy, "=")
	s := &steering{
		program:  steer.Config{Policy: steerPolicies[name], Members: steer.MaxMembers, Limit: f.maxConns},
		fallback: reuseport.Hash{}, weights: weightsOf(f.policy),
	}
	if len(s.weights) > 0 {
		s.fallback = reuseport.Weighted{}
	}
	s.lack = steer.Supported()
	workers := f.workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if s.lack == nil && workers > steer.MaxMembers {
		return nil, cli.Usage(fmt.Errorf("--policy %s in reuseport mode is an eBPF program, which chooses among %d workers at most, not %d: rr mode takes so many",
			f.policy, steer.MaxMembers, workers))
	}
	return s, nil
}

// steerPolicies are the programs for the policies of rr mode.
var steerPolicies = map[string]steer.Policy{
	"round-robin": steer.RoundRobin, "least-loaded": steer.LeastLoaded, "source-hash": steer.SourceHash, "weighted": steer.Weighted,
}

// weightsOf are those of a policy that has been checked.
func weightsOf(policy string) (weights []int) {
	if _, list, ok := strings.Cut(policy, "="); ok {
		for w := range strings.SplitSeq(list, ",") {
			n, _ := strconv.Atoi(w)
			weights = append(weights, n)
		}
	}
	return weights
}

// configure has the cluster steer so.
func (s *steering) configure(cfg *cluster.Config) {
	if s == nil {
		return
	}
	log := cfg.Logger
	cfg.Weights = s.weights
	cfg.Steering = func() reuseport.Steering {
		if s.lack != nil {
			return s.fallback
		}
		p, err := steer.New(s.program)
		if err != nil { // it could be made a moment ago
			log.Error("cannot make the eBPF program", "policy", s.program.Policy, "instead", s.fallback, "err", err)
			return s.fallback
		}
		return p
	}
}

// A steeringLine says how the kernel steers. It is a line of JSON too.
type steeringLine struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"` // "steering"
	Steering string    `json:"steering"`
	Wanted   string    `json:"wanted,omitempty"` // where it is another one
	Why      string    `json:"why,omitempty"`
}

// line is about listeners that are open, or will be; nil: nothing is to be said.
func (s *steering) line(listeners []cluster.ListenerStatus) *steeringLine {
	if s == nil {
		return nil
	}
	wanted := "ebpf " + s.program.Policy.String()
	line := &steeringLine{Time: time.Now(), Event: "steering", Steering: wanted}
	if s.lack != nil {
		line.Steering = s.fallback.String()
		// What comes after the semicolon is for programmers.
		line.Why, _, _ = strings.Cut(strings.TrimPrefix(s.lack.Error(), "steer: "), "; ")
	}
	for _, l := range listeners {
		if l.Steering != "" {
			line.Steering = l.Steering
			break
		}
	}
	if line.Steering != wanted {
		line.Wanted = wanted
	}
	return line
}

func (l *steeringLine) String() string {
	text := "steering: " + l.Steering
	if l.Wanted != "" {
		text += ", not " + l.Wanted
	}
	if l.Why != "" {
		text += ", since " + l.Why
	}
	return text
}
