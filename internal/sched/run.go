package sched

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Config says what to measure. Command and Cases must be set.
type Config struct {
	// Command is the program with its arguments that calls [Child]: this one.
	Command []string
	Cases   []Case

	Ways    []Way // nil: all that this process can use
	Workers int   // 0: 4
	Clients int   // client processes; 0: 2
	Repeat  int   // 0: once
	Seed    uint64

	// HangAfter is the age of a heartbeat from which eBPF gives a worker nothing;
	// 0: 200 ms. Limit is how many connections make one full; 0: any number.
	HangAfter time.Duration
	Limit     int

	// Progress is told what is being done, and which part of all is over.
	Progress func(part float64, doing string)
}

// A Report is what was measured.
type Report struct {
	Kernel  string       `json:"kernel"`
	CPUs    int          `json:"cpus"`
	Begun   time.Time    `json:"begun"`
	Load    [2]string    `json:"load_average"` // before and after, as /proc/loadavg has it
	Seed    uint64       `json:"seed"`
	Workers int          `json:"workers"`
	Repeat  int          `json:"repeat"`
	Curve   []float64    `json:"curve_at"` // the parts of which curves have the latencies
	Cases   []CaseReport `json:"cases"`
	LeftOut []LeftOut    `json:"left_out,omitempty"`
}

// A CaseReport is one case, measured in all ways.
type CaseReport struct {
	Case
	Ways []WayReport `json:"ways"`
}

// A WayReport is one way in one case.
type WayReport struct {
	Way    Way             `json:"way"`
	Median Figures         `json:"median"`
	Runs   []RunReport     `json:"runs"`
	Curve  []time.Duration `json:"curve_ns"` // latencies of all runs

	latencies []time.Duration
}

// A RunReport is one run.
type RunReport struct {
	Figures
	Shares  []int  `json:"connections"` // of each worker
	Failed  int    `json:"failed"`      // connections without an answer
	Silent  int    `json:"silent"`      // requests without one in the end
	Failure string `json:"failure,omitempty"`
}

// LeftOut is a way that this process can't use.
type LeftOut struct {
	Way    Way    `json:"way"`
	Reason string `json:"reason"`
}

// Run measures the cases in each way: all ways once, then again. A way's workers
// are started anew each time, and go through the cases one after the other. The
// loads of a repetition are the same for all ways.
func Run(ctx context.Context, c Config) (*Report, error) {
	c = c.defaults()
	r := &Report{Kernel: kernel(), CPUs: runtime.NumCPU(), Begun: time.Now(), Seed: c.Seed, Workers: c.Workers, Repeat: c.Repeat, Curve: curveAt()}
	var ways []Way
	for _, w := range c.Ways {
		if err := w.Available(); err != nil {
			r.LeftOut = append(r.LeftOut, LeftOut{w, err.Error()})
			continue
		}
		ways = append(ways, w)
	}
	for _, k := range c.Cases {
		report := CaseReport{Case: k}
		for _, w := range ways {
			report.Ways = append(report.Ways, WayReport{Way: w})
		}
		r.Cases = append(r.Cases, report)
	}
	counter, err := newCallCounter()
	if err == nil {
		defer counter.close()
	}
	r.Load[0] = loadAverage()
	done := 0
	for repetition := range c.Repeat {
		for i, w := range ways {
			step := func(k int) {
				part := float64(done) / float64(c.Repeat*len(ways)*len(c.Cases))
				c.Progress(part, fmt.Sprintf("%s, %s, %d of %d", w, c.Cases[k].Name, repetition+1, c.Repeat))
				done++
			}
			if err := c.way(ctx, r, i, w, repetition, counter, step); err != nil {
				return nil, err
			}
		}
	}
	r.Load[1] = loadAverage()
	r.summarise()
	return r, nil
}

func (c Config) defaults() Config {
	c.Workers = cmp.Or(c.Workers, 4)
	c.Clients = cmp.Or(c.Clients, 2)
	c.Repeat = cmp.Or(c.Repeat, 1)
	c.HangAfter = cmp.Or(c.HangAfter, 200*time.Millisecond)
	if c.Ways == nil {
		c.Ways = Ways()
	}
	if c.Progress == nil {
		c.Progress = func(float64, string) {}
	}
	return c
}

// way starts the workers and measures all cases in turn.
func (c Config) way(ctx context.Context, r *Report, i int, w Way, repetition int, counter *callCounter, step func(int)) (err error) {
	step(0)
	s, err := start(ctx, w, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := warm(ctx, c.Command, s.address()); err != nil {
		return fmt.Errorf("%s: %w", w, err)
	}
	for k := range c.Cases {
		if k > 0 {
			step(k)
		}
		seed := rand.New(rand.NewPCG(c.Seed, uint64(repetition)<<32|uint64(k))).Uint64()
		run, latencies, err := c.measure(ctx, s, c.Cases[k], seed, counter)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", w, c.Cases[k].Name, err)
		}
		report := &r.Cases[k].Ways[i]
		report.Runs = append(report.Runs, run)
		report.latencies = append(report.latencies, latencies...)
	}
	return nil
}

// measure is one run.
func (c Config) measure(ctx context.Context, s server, k Case, seed uint64, counter *callCounter) (r RunReport, latencies []time.Duration, err error) {
	begin := time.Now().Add(clientsStart)
	stalling, end := context.WithTimeout(ctx, clientsStart+k.Load.takes())
	stalled := make(chan struct{})
	go func() {
		defer close(stalled)
		k.Stall.run(stalling, begin, s.pids(), int(seed%uint64(c.Workers)))
	}()
	counted := counter.from(begin, append(s.pids(), s.others()...))
	h, err := apply(ctx, c.Command, c.Clients, task{Address: s.address(), Load: k.Load, Seed: seed, Begin: begin})
	calls := counted()
	end()
	<-stalled
	if err != nil {
		return r, nil, err
	}
	r = RunReport{Shares: make([]int, c.Workers), Failed: h.Failed, Silent: h.Silent, Failure: h.Failure}
	for w, n := range h.Workers {
		if w < 0 || w >= c.Workers {
			return r, nil, fmt.Errorf("an answer of worker %d of %d", w, c.Workers)
		}
		r.Shares[w] = n
	}
	r.spread(r.Shares)
	r.times(h.Latencies)
	slices.Sort(h.Late)
	if len(h.Late) > 0 {
		r.Late = quantile(h.Late, 0.99)
	}
	r.Calls = float64(calls) / float64(k.Load.Connections)
	return r, h.Latencies, nil
}

func (r *Report) summarise() {
	for i := range r.Cases {
		for j := range r.Cases[i].Ways {
			w := &r.Cases[i].Ways[j]
			var all []Figures
			for _, run := range w.Runs {
				all = append(all, run.Figures)
			}
			w.Median = median(all)
			slices.Sort(w.latencies)
			w.Curve = curve(w.latencies)
		}
	}
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], " ")
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}
