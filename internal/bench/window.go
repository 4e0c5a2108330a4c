package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"onconn/internal/bench/clock"
	"onconn/internal/bench/load"
)

// A Window is what one server did under the load for a moment.
type Window struct {
	Server    string
	Round     int
	Done      int
	Failed    map[string]int
	Late      int // of an open loop: begun later than they should
	PerSecond float64
	CPU       float64 // of all its processes, µs for a connection or request
	P50, P90  time.Duration
	P99, Max  time.Duration
	// Noise is the CPU time that neither the server nor the client had of the CPUs that
	// they may use, and Stolen what the host took of these, as shares of one CPU.
	Noise, Stolen float64
}

// Noisy is the noise above which a window is measured again.
const noisy = 0.2

// errChanged: CPU time of a process that came or went in a window isn't known.
var errChanged = errors.New("its processes changed in a window")

// measure runs the load against one server once. Two looks at /proc/stat differ by a
// tick for each CPU even if nothing else runs.
func (b *bench) measure(ctx context.Context, s *server, cfg load.Config) (w Window, err error) {
	cfg.Addr = s.addr
	arg, err := json.Marshal(cfg)
	if err != nil {
		return w, err
	}
	program, err := os.Executable()
	if err != nil {
		return w, err
	}
	pids := clock.Tree(s.cmd.Process.Pid)
	before, err := clock.CPU(pids)
	if err != nil {
		if alive(s.cmd.Process.Pid) {
			err = errors.Join(errChanged, err)
		}
		return w, fmt.Errorf("%s, before a window: %w\n%s", s.name, err, s.log)
	}
	used := b.servers
	for i, word := range b.clients {
		used[i] |= word
	}
	machine, err := clock.Now(&used)
	if err != nil {
		return w, err
	}
	began := time.Now()
	cmd := exec.Command(program, "load", string(arg))
	var out, said tail
	result := new(load.Result)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return w, err
	}
	cmd.Stderr = &said
	if err := startOn(cmd, b.clients); err != nil {
		return w, err
	}
	defer context.AfterFunc(ctx, func() { cmd.Process.Kill() })()
	decodeErr := json.NewDecoder(pipe).Decode(result)
	if err := errors.Join(cmd.Wait(), decodeErr, ctx.Err()); err != nil {
		return w, fmt.Errorf("the client: %w %s%s", err, &out, &said)
	}
	took := time.Since(began)
	later, err := clock.Now(&used)
	if err != nil {
		return w, err
	}
	after, err := clock.CPU(pids)
	if err != nil || !slices.Equal(pids, clock.Tree(s.cmd.Process.Pid)) {
		return w, fmt.Errorf("%s: %w\n%s", s.name, errors.Join(errChanged, err), s.log)
	}
	client := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	others := later.Busy - machine.Busy - (after - before) - client
	return Window{
		Server:    s.name,
		Done:      result.Done,
		Failed:    result.Failed,
		Late:      result.Late,
		PerSecond: float64(result.Done) / result.Elapsed.Seconds(),
		CPU:       float64((after - before).Nanoseconds()) / 1e3 / float64(max(result.Done, 1)),
		P50:       result.Latency.Quantile(0.5),
		P90:       result.Latency.Quantile(0.9),
		P99:       result.Latency.Quantile(0.99),
		Max:       result.Latency.Max,
		Noise:     max(0, others.Seconds()/took.Seconds()),
		Stolen:    (later.Stolen - machine.Stolen).Seconds() / took.Seconds(),
	}, nil
}

// quiet measures until a window has little noise, three times at most, and gives the
// quietest. One in which processes came or went is none.
func (b *bench) quiet(ctx context.Context, s *server, cfg load.Config) (best Window, err error) {
	var changed error
	for range 3 {
		w, err := b.measure(ctx, s, cfg)
		switch {
		case errors.Is(err, errChanged):
			changed = err
			continue
		case err != nil:
			return w, err
		}
		if best.Server == "" || w.Noise+w.Stolen < best.Noise+best.Stolen {
			best = w
		}
		if best.Noise+best.Stolen < noisy {
			break
		}
	}
	if best.Server == "" {
		return best, changed
	}
	return best, nil
}
