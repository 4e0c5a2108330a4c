package probe

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"time"

	"onconn/sock"
)

func demoFull(ctx context.Context, s *stage) error {
	if err := s.listen(loopback, 5); err != nil {
		return err
	}
	if err := s.see("A server calls listen(5) and accepts nobody. Its queue has 6 places: the limit and one."); err != nil {
		return err
	}
	d, err := s.connect(ctx, 12)
	if err != nil {
		return err
	}
	in := len(d.attempts) - d.refused()
	if err := s.see("12 clients connect. %d are connected: the kernel finishes handshakes by itself, accept() comes later.", in); err != nil {
		return err
	}
	s.say("The other %d hear nothing: no RST, no error. Their SYNs were dropped, as if the network had lost them.", d.pending)
	before, err := s.view.now()
	if err != nil {
		return err
	}
	until(ctx, 2*time.Second, func() bool {
		now, err := s.view.now()
		return err != nil || now.drops >= before.drops+d.pending
	})
	if err := s.see("A second later they send their SYN again, and it is dropped again. Drops count SYNs, not clients."); err != nil {
		return err
	}
	s.serve(0, 0)
	start := time.Now()
	if err := d.settle(ctx, start.Add(5*time.Second)); err != nil {
		return err
	}
	took := time.Since(start)
	d.finish()
	until(ctx, patience, func() bool { now, err := s.view.now(); return err != nil || now.depth == 0 })
	var longest time.Duration
	for _, a := range d.attempts {
		longest = max(longest, a.took)
	}
	if err := s.see("The server accepts at last. %.1f s later, at their next retry, all %d clients are connected.", took.Seconds(), len(d.attempts)-d.refused()); err != nil {
		return err
	}
	s.say("The unlucky clients spent %.1f s in connect(). By default clients give up after some 130 s.", longest.Seconds())
	return nil
}

func demoSlow(ctx context.Context, s *stage) error {
	const rate, stall = 1500, 80 * time.Millisecond
	mean := rate * stall.Seconds()
	needed := int(math.Ceil(mean + 3*math.Sqrt(mean)))
	s.say("A server stalls %v four times a second while %d clients a second come: %.0f arrive during a stall.", stall, rate, mean)
	for _, limit := range []int{64, needed} {
		if err := s.listen(loopback, limit); err != nil {
			return err
		}
		s.serve(250*time.Millisecond, stall)
		report, err := Connect(ctx, Options{Target: s.target, Burst: rate, Max: rate, Wait: 5 * time.Second, Reset: true})
		if err != nil {
			return err
		}
		b := report.Burst
		if err := s.see("listen(%d): %d clients were connected at once, %d after a second or more. p50 %v, p99 %v; the queue held %d at most.",
			limit, b.AtOnce, b.Retried+b.Unanswered, duration(b.P50), duration(b.P99), *b.Peak); err != nil {
			return err
		}
	}
	s.say("The rule: arrivals during the worst stall, and three standard deviations more: %.0f + 3 x sqrt(%.0f) = %d.", mean, mean, needed)
	return nil
}

func demoUnix(ctx context.Context, s *stage) error {
	dir, err := os.MkdirTemp("", "backlogprobe")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := s.listen(sock.UnixAddr(filepath.Join(dir, "socket")), 5); err != nil {
		return err
	}
	if err := s.see("A unix socket, listen(5), nobody accepts."); err != nil {
		return err
	}
	d, err := s.connect(ctx, 8)
	if err != nil {
		return err
	}
	if err := s.see("8 clients connect: %d are connected, %d get EAGAIN at once.", len(d.attempts)-d.refused(), d.refused()); err != nil {
		return err
	}
	s.say("Those were non-blocking. A blocking connect() would wait in the kernel until there is a place. The kernel counts none of it.")
	return nil
}

func demoClosed(ctx context.Context, s *stage) error {
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		return err
	}
	s.later(func() { fd.Close() })
	if err := fd.Bind(loopback); err != nil {
		return err
	}
	name, err := fd.Getsockname()
	if err != nil {
		return err
	}
	s.say("A server has bound port %d, and has not called listen() yet.", name.Port())
	s.target = Target{name, true}
	d, err := s.connect(ctx, 1)
	if err != nil {
		return err
	}
	a := d.attempts[0]
	s.say("A client connects: %q after %v. The kernel answered its SYN with a RST.", a.err, duration(a.took))
	s.say("So ECONNREFUSED never means a full queue: a full one is silent.")
	return nil
}
