package probe

import (
	"context"
	"slices"
	"time"

	"onconn/backlog"
	"onconn/sock"
)

// burstTime is how long the clients of a burst take to come.
const burstTime = time.Second

// burst lets clients come evenly for a second and waits for their answers.
func (r *run) burst(ctx context.Context) error {
	d, err := newDialer(r.Target.Addr, r.Reset)
	if err != nil {
		return err
	}
	defer d.close()
	stopWatching, err := r.watch()
	if err != nil {
		return err
	}
	over, err := r.come(ctx, d)
	if err != nil && len(d.attempts) == 0 {
		stopWatching()
		return err
	}
	if err == nil {
		r.Progress(-1, "waiting for the clients that were refused")
		err = d.settle(ctx, time.Now().Add(r.Wait-over))
	}
	peak := stopWatching()
	depth := -1
	if state, err := r.viewNow(); err == nil {
		depth = state.depth
	}
	r.tally(d)
	r.report.Burst = d.summary(over)
	r.report.Burst.Peak = peak
	r.noticeCapacity(d, depth)
	return err
}

func (r *run) viewNow() (queueState, error) {
	if r.view == nil {
		return queueState{}, errHidden
	}
	return r.view.now()
}

// come opens the connections; the time that it took is a second as a rule.
func (r *run) come(ctx context.Context, d *dialer) (time.Duration, error) {
	n := min(r.Burst, r.bound())
	if n < r.Burst {
		r.note("fewer clients than asked for: --max, or the limit of open files (ulimit -n), is lower")
	}
	start := time.Now()
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		for due := start.Add(burstTime * time.Duration(i) / time.Duration(n)); ; {
			early := time.Until(due)
			if early <= 0 {
				break
			}
			if _, err := d.collect(early); err != nil {
				return 0, err
			}
		}
		if err := d.open(); err != nil {
			if i == 0 {
				return 0, err
			}
			r.note("this side ran out: %v", err)
			break
		}
		if i%64 == 0 {
			r.Progress(float64(i)/float64(n), "clients come")
		}
	}
	return time.Since(start), nil
}

// watch samples the queue until the function that it returns is called, which
// tells the peak, or nil if that is unknown.
func (r *run) watch() (func() *int, error) {
	if r.view == nil {
		return func() *int { return nil }, nil
	}
	w, err := backlog.Watch(r.view.ns, backlog.WatchConfig{Select: r.view.has, Unix: r.Target.Addr.Family() == sock.Unix})
	if err != nil {
		return nil, err
	}
	return func() *int {
		defer w.Close()
		peak := 0
		for _, o := range w.Observations() {
			peak += o.Peak
		}
		return &peak
	}, nil
}

// summary counts how the clients fared.
func (d *dialer) summary(over time.Duration) *Burst {
	b := &Burst{Clients: len(d.attempts), Over: over, Refusal: d.refusal()}
	var times []time.Duration
	for _, a := range d.attempts {
		times = append(times, a.took)
		switch {
		case !a.done:
			b.Unanswered++
		case a.reset:
			b.ResetLater++
		case a.err != nil:
			b.Refused++
		case a.syns > 1:
			b.Retried++
		default:
			b.AtOnce++
		}
	}
	slices.Sort(times)
	b.P50, b.P99, b.Max = percentile(times, 0.5), percentile(times, 0.99), percentile(times, 1)
	return b
}

// noticeCapacity finds that nobody accepted during the burst: then it has
// measured the capacity as well.
func (r *run) noticeCapacity(d *dialer, depth int) {
	b := r.report.Burst
	connected := b.AtOnce + b.Retried
	if r.report.Capacity != nil || depth < 0 || connected == 0 || connected == b.Clients ||
		depth != r.report.Listener.Depth+connected {
		return
	}
	var times []time.Duration
	for _, a := range d.attempts {
		if a.connected() {
			times = append(times, a.took)
		}
	}
	slices.Sort(times)
	r.report.Capacity = &Capacity{Measured: depth, ConnectTime: percentile(times, 0.5), Refused: b.Clients - connected, Refusal: b.Refusal}
	r.note("nobody accepted during the burst: is the server hung, or stopped?")
}
