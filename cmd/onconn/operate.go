package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"onconn/cluster"
	"onconn/internal/sdnotify"
	"onconn/internal/words"
)

// operations are what can be done to the running cluster, one at a time, by
// signals and over the control socket. They are told to the reader of the output
// and to systemd.
type operations struct {
	primary *cluster.Primary
	report  *report
	systemd *supervised
	one     sync.Mutex
}

func (o *operations) Status() cluster.Status { return o.primary.Status() }

func (o *operations) Reload(ctx context.Context) error {
	return o.do("reload", "reloading", func() error {
		o.systemd.say(sdnotify.Reloading())
		defer o.systemd.say(sdnotify.Ready) // also when it failed: the old workers serve
		return o.primary.Reload(ctx)
	})
}

func (o *operations) Scale(ctx context.Context, workers int) error {
	now := o.Status().Target
	begins := fmt.Sprintf("scaling from %s to %d", words.Count(now, "worker"), workers)
	if workers == now {
		begins = "scaling to as many workers as there are"
	}
	return o.do("scale", begins, func() error {
		return o.primary.Scale(ctx, workers)
	})
}

// Upgrade returns only if it did not happen. The new program says READY=1.
func (o *operations) Upgrade(ctx context.Context) error {
	return o.do("upgrade", "upgrading", func() error {
		o.systemd.say(sdnotify.Reloading())
		defer o.systemd.say(sdnotify.Ready)
		return o.primary.Upgrade(ctx)
	})
}

func (o *operations) do(what, begins string, f func() error) error {
	if !o.one.TryLock() {
		return o.report.fails(what, fmt.Errorf("%w (%s)", cluster.ErrBusy, o.Status().Doing))
	}
	defer o.one.Unlock()
	o.report.begins(what, begins)
	err := f()
	o.systemd.lookAtSockets()
	if err != nil {
		return o.report.fails(what, err)
	}
	o.report.ends(what, o.Status().Target)
	return nil
}

// more changes the number of workers by n. There stays at least one.
func (o *operations) more(ctx context.Context, n int) error {
	now := o.Status().Target
	if now+n < 1 {
		return o.report.fails("scale", errors.New("one worker has to stay"))
	}
	return o.Scale(ctx, now+n)
}
