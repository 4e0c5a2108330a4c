package sched

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

const (
	clientsStart = 100 * time.Millisecond // a process is there by then
	patience     = 10 * time.Second
)

// apply has client processes put a load on the address, from begin on, and adds
// up what they have seen.
func apply(ctx context.Context, argv []string, processes int, t task) (harvest, error) {
	type result struct {
		harvest
		err error
	}
	results := make(chan result, processes)
	for part := range processes {
		mine := t
		mine.Part, mine.Of, mine.Patience = part, processes, patience
		go func() {
			h, err := callFrom(ctx, argv, mine)
			results <- result{h, err}
		}()
	}
	sum := harvest{Workers: map[int]int{}}
	var errs []error
	for range processes {
		r := <-results
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		sum.add(r.harvest)
	}
	if ctx.Err() != nil {
		return sum, ctx.Err()
	}
	return sum, errors.Join(errs...)
}

func (h *harvest) add(o harvest) {
	h.Latencies = append(h.Latencies, o.Latencies...)
	h.Late = append(h.Late, o.Late...)
	for w, n := range o.Workers {
		h.Workers[w] += n
	}
	h.Failed += o.Failed
	h.Silent += o.Silent
	if h.Failure == "" {
		h.Failure = o.Failure
	}
}

// callFrom runs one client process.
func callFrom(ctx context.Context, argv []string, t task) (h harvest, err error) {
	var in, out bytes.Buffer
	if err := gob.NewEncoder(&in).Encode(t); err != nil {
		return h, err
	}
	cmd := command(argv, role{Client: true})
	cmd.Stdin, cmd.Stdout = &in, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return h, err
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return h, fmt.Errorf("a client process: %w", err)
	}
	return h, gob.NewDecoder(&out).Decode(&h)
}

// warm makes some connections that nobody counts, one after the other.
func warm(ctx context.Context, argv []string, address netip.AddrPort) error {
	h, err := apply(ctx, argv, 1, task{Address: address, Load: Load{Connections: 40, For: 80 * time.Millisecond}, Begin: time.Now()})
	if err == nil && h.Failed+h.Silent > 0 {
		err = fmt.Errorf("of 40 connections to try, %d failed (%s) and %d had no answer", h.Failed, h.Failure, h.Silent)
	}
	return err
}
