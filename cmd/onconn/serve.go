package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"onconn/cluster"
	"onconn/internal/cli"
)

// A logger writes to standard error without waiting for its reader.
type logger struct {
	*slog.Logger
	out io.Writer
}

// run is the primary.
func (f *runFlags) run() error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if f.steering, err = f.steer(); err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.quiet {
		level = slog.LevelWarn
	}
	r := newReport(f)
	defer r.out.end()
	out := newOutput(os.Stderr)
	defer out.end()
	r.err = out
	log := &logger{slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})), out}
	cfg.Logger = log.Logger
	f.steering.configure(&cfg)
	stored, useless, err := storedSockets()
	if err != nil {
		return err
	}
	cfg.Inherited = stored
	systemd, err := newSupervised(stored, useless, out)
	if err != nil {
		return err
	}
	cfg.OnEvent = func(e cluster.Event) {
		r.event(e)
		systemd.event(e)
	}
	p, err := cluster.New(cfg)
	if err != nil {
		return cli.Usage(err)
	}
	signals := takeSignals()
	defer signals.stop()
	if err := p.Start(context.Background()); err != nil {
		return err
	}
	ops := &operations{primary: p, report: r, systemd: systemd}
	defer systemd.end() // after what is asked for from outside, since that tells systemd
	seen, err := f.observe(ops, log)
	defer seen.end()
	switch {
	case err == nil:
	case p.Status().Upgrades > 0: // no reason to end what serves
		fmt.Fprintln(out, "onconn:", err)
	default:
		p.Shutdown(context.Background())
		return err
	}
	r.begin(p, seen.control)
	systemd.begin(p)
	return untilEnd(ops, signals)
}

// untilEnd serves until a signal comes or no worker is of use, and drains.
func untilEnd(ops *operations, signals *signalled) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	operated := make(chan struct{})
	go func() {
		defer close(operated)
		signals.operate(ctx, ops)
	}()
	select {
	case <-signals.end:
	case err = <-ops.primary.Failed():
	}
	cancel()
	ops.systemd.stopping()
	ops.report.end()
	if !drain(ops.primary, signals.end) && err == nil {
		err = errors.New("a second signal came before all connections were finished")
	}
	<-operated
	ops.report.close()
	return err
}

// drain shuts the cluster down, at once if a signal comes meanwhile, and reports
// whether none did.
func drain(p *cluster.Primary, signals <-chan os.Signal) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		p.Shutdown(ctx)
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-second(signals):
		cancel()
		<-done
		return false
	}
}

// second yields the first signal that is not part of the one before: timeout(1)
// and some supervisors signal the process and then its group.
func second(signals <-chan os.Signal) <-chan os.Signal {
	began := time.Now()
	again := make(chan os.Signal, 1)
	go func() {
		for sig := range signals {
			if time.Since(began) > sameSignal {
				again <- sig
				return
			}
		}
	}()
	return again
}

const sameSignal = 200 * time.Millisecond
