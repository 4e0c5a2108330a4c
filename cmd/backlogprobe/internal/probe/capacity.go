package probe

import (
	"context"
	"errors"
	"slices"
	"time"
)

// extra is how many clients without an answer show that the queue is full, and
// patience how long they wait for one.
const (
	extra    = 16
	patience = 250 * time.Millisecond
)

// stopAndFill stops the processes that could accept, fills the queue, lets them
// go on, and watches the refused clients come in.
func (r *run) stopAndFill(ctx context.Context) error {
	if r.view == nil {
		return errors.New("nobody to stop: " + r.report.UnknownWhy["listener"])
	}
	var pids []int
	for _, o := range r.report.Listener.Owners {
		pids = append(pids, o.PID)
	}
	if pids == nil {
		return errors.New("can't stop the server: " + r.report.UnknownWhy["listener.owners"])
	}
	d, err := newDialer(r.Target.Addr, r.Reset)
	if err != nil {
		return err
	}
	defer d.close()
	r.Progress(-1, "the server is stopped")
	s, err := stopProcesses(pids)
	if err != nil {
		return err
	}
	c, err := r.fill(ctx, d)
	overdue := s.overdue()
	stopped, err2 := s.resume()
	resumed := time.Now()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	c.Stopped = stopped
	r.report.Capacity = c
	if overdue {
		c.AtLeast = true
	}
	if c.AtLeast && stopped >= maxStop-patience {
		r.note("the queue was not full within %v, when the server had to resume", maxStop)
	}
	return errors.Join(r.recover(ctx, d, resumed), r.drain(ctx, d))
}

// fill connects until clients stay without an answer, and counts.
func (r *run) fill(ctx context.Context, d *dialer) (*Capacity, error) {
	before, err := r.view.now()
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(maxStop - patience)
	full, bound := false, r.bound()
	for !full && len(d.attempts) < bound && ctx.Err() == nil && time.Now().Before(deadline) {
		if err := d.open(); err != nil {
			if len(d.attempts) == 0 {
				return nil, err
			}
			r.note("this side ran out: %v", err)
			break
		}
		if d.refused() >= extra {
			if err := d.settle(ctx, time.Now().Add(patience)); err != nil {
				return nil, err
			}
			full = d.refused() >= extra
		}
	}
	if !full {
		if err := d.settle(ctx, time.Now().Add(patience)); err != nil {
			return nil, err
		}
	}
	c := &Capacity{Measured: before.depth, Refused: d.refused(), Refusal: d.refusal()}
	var times []time.Duration
	for _, a := range d.attempts {
		if a.connected() {
			c.Measured++
			times = append(times, a.took)
		}
	}
	slices.Sort(times)
	c.ConnectTime = percentile(times, 0.5)
	c.AtLeast = c.Refused == 0
	if c.AtLeast && len(d.attempts) == bound {
		r.note("no more than %d connections: --max, or the limit of open files (ulimit -n), allows no more", bound)
	}
	if l := r.report.Listener; l.Members > 1 && c.Refused > 0 && c.Measured < l.Promised {
		r.note("one socket of the group was full: clients that meet it are refused though others have room")
	}
	after, err := r.view.now()
	if err == nil && after.depth != c.Measured {
		r.note("the queue held %d then, not %d: other clients came, or another process accepted", after.depth, c.Measured)
	}
	return c, err
}

// recover waits for those who were refused.
func (r *run) recover(ctx context.Context, d *dialer, resumed time.Time) error {
	var late []int
	for i, a := range d.attempts {
		if !a.done {
			late = append(late, i)
		}
	}
	if len(late) == 0 {
		r.tally(d)
		return nil
	}
	r.Progress(-1, "the server is back; waiting for the clients that it refused")
	err := d.settle(ctx, resumed.Add(r.Wait))
	r.tally(d)
	if ctx.Err() != nil && d.pending == len(late) {
		r.report.unknown("recovery", "interrupted before the first retry")
		return err
	}
	rec := &Recovery{Clients: len(late)}
	for _, i := range late {
		a := d.attempts[i]
		if !a.connected() {
			continue
		}
		after := a.start.Add(a.took).Sub(resumed)
		if rec.Connected == 0 || after < rec.FirstRetry {
			rec.FirstRetry = after
		}
		rec.Connected++
		rec.All = max(rec.All, after)
		rec.Longest = max(rec.Longest, a.took)
	}
	r.report.Recovery = rec
	return err
}

// drain closes what the stop has left, and gives the server a second to accept
// it, so that the burst finds the queue as it was.
func (r *run) drain(ctx context.Context, d *dialer) error {
	d.closeAttempts()
	for end := time.Now().Add(time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		state, err := r.view.now()
		if err != nil || state.depth <= r.report.Listener.Depth {
			return err
		}
	}
	return nil
}
