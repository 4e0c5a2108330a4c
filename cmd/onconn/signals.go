package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"onconn/cluster"

	"golang.org/x/sys/unix"
)

// signalled are the signals that do something, to the primary.
type signalled struct {
	end   chan os.Signal // SIGINT, SIGTERM
	do    chan os.Signal
	nohup bool // SIGHUP was ignored, as nohup(1) has it
}

// takeSignals begins to take them. Until then each has its default.
func takeSignals() *signalled {
	s := &signalled{make(chan os.Signal, 2), make(chan os.Signal, 64), cluster.NoHangup()}
	signal.Notify(s.end, syscall.SIGINT, syscall.SIGTERM)
	signal.Notify(s.do, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU)
	return s
}

func (s *signalled) stop() {
	signal.Stop(s.end)
	signal.Stop(s.do)
	close(s.end)
	close(s.do)
}

// operate does what signals ask for, one after the other, until ctx is done.
func (s *signalled) operate(ctx context.Context, o *operations) {
	terminal := hasTerminal()
	for {
		var sig os.Signal
		select {
		case sig = <-s.do:
		case <-ctx.Done():
			return
		}
		switch sig { // the report tells errors
		case syscall.SIGHUP:
			if !terminal || hasTerminal() {
				o.Reload(ctx)
				continue
			}
			terminal = false // it was closed, which is no wish for new workers
			if !s.nohup {
				select {
				case s.end <- sig:
				default: // it ends already
				}
			}
		case syscall.SIGUSR2:
			o.Upgrade(ctx)
		case syscall.SIGTTIN:
			o.more(ctx, 1)
		case syscall.SIGTTOU:
			o.more(ctx, -1)
		}
	}
}

// hasTerminal reports whether this process has a controlling terminal.
func hasTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}
