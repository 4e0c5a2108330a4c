package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onconn/sock"
)

const (
	maxSYNs = 2000
	// beyond is how many SYNs go past what the queue should hold, so that its
	// end is seen.
	beyond = 64
	// resendTime is how long a probe waits for SYN-ACKs to come again. The kernel
	// sends them after a second (TCP_TIMEOUT_INIT), and those of cookies never.
	resendTime = 1600 * time.Millisecond
)

// SYN measures the queue of unfinished handshakes by SYNs from addresses that
// nobody has, or with complete the accept queue by handshakes that no socket
// backs. n is their number; 0 is as many as it should take. At the end it resets
// what it began: otherwise the kernel would keep it for a minute.
func SYN(ctx context.Context, o Options, n int, complete bool) (*Report, error) {
	target := o.Target.Addr.AddrPort()
	if o.Target.Addr.Family() == sock.Unix || !target.Addr().Is4() {
		return nil, errors.New("--syn speaks IPv4 only: a listener on :: is reached by its IPv4 address too, as 127.0.0.1:PORT")
	}
	if !o.Target.Local {
		return nil, fmt.Errorf("--syn reaches listeners of this host only: %w", ErrForeign)
	}
	r, err := begin(o)
	if err != nil {
		return nil, err
	}
	defer r.view.close()
	if n == 0 && r.view == nil {
		return nil, fmt.Errorf("--syn: %s", r.report.UnknownWhy["listener"])
	}
	if n == 0 {
		n = r.report.Listener.Promised + beyond
	}
	if n > maxSYNs {
		r.note("%d SYNs at most: a queue of more isn't seen full", maxSYNs)
	}
	c, err := newClients(target)
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.finish = complete
	err = r.handshakes(ctx, c, min(n, maxSYNs))
	return r.report, err
}

func (r *run) handshakes(ctx context.Context, c *clients, n int) error {
	err := func() error {
		for i := 0; i < n && ctx.Err() == nil; i++ {
			if err := c.syn(); err != nil {
				return err
			}
		}
		r.Progress(-1, "waiting for SYN-ACKs to come again")
		return c.listen(ctx, time.Now().Add(resendTime))
	}()
	s := c.summary()
	r.report.SYN = s
	if ctx.Err() != nil {
		s.Queued, s.Cookies, s.Completed, s.FinalRefused = 0, 0, 0, 0
		r.report.unknown("syn.queued", "interrupted before SYN-ACKs came again, which tells kept requests from cookies and refused final ACKs")
	}
	r.syns, r.clients = s.Unanswered+s.FinalRefused, s.Unanswered+s.FinalRefused
	s.HalfOpen = r.halfOpen(c)
	r.end(ctx)
	return errors.Join(err, r.forget(ctx, c, s))
}

// forget resets what the kernel keeps for us. A RST for a cookie would only be
// counted as a stray; interrupted, we don't know which they are.
func (r *run) forget(ctx context.Context, c *clients, s *SYNs) error {
	for _, h := range c.all {
		if h.reset || h.answers == 0 || h.answers == 1 && !h.acked && ctx.Err() == nil {
			continue
		}
		if err := c.rst(h); err != nil {
			return err
		}
	}
	for end := time.Now().Add(patience); ; {
		s.Left = r.halfOpen(c)
		if s.Left == nil || *s.Left == 0 || time.Now().After(end) {
			return nil
		}
		if err := c.receive(5 * time.Millisecond); err != nil {
			return err
		}
	}
}

// halfOpen counts the kernel's rows for our handshakes, nil if they are hidden.
func (r *run) halfOpen(c *clients) *int {
	if r.view == nil {
		return nil
	}
	rows, err := r.view.ns.HalfOpen(c.target.Port())
	if err != nil {
		r.report.unknown("syn.half_open", err.Error())
		return nil
	}
	n := 0
	for _, row := range rows {
		if c.find[row.Remote] != nil {
			n++
		}
	}
	return &n
}

func (c *clients) summary() *SYNs {
	s := &SYNs{Sent: len(c.all)}
	for _, h := range c.all {
		switch {
		case h.answers > 0:
			s.Answered++
		case h.reset:
			s.Reset++
		default:
			s.Unanswered++
		}
		switch {
		case h.acked && h.answers == 1 && !h.reset:
			s.Completed++
		case h.acked:
			s.FinalRefused++
		case h.answers > 1:
			s.Queued++
		case h.answers == 1:
			s.Cookies++
		}
		if h.resend > 0 && (s.FirstResend == 0 || h.resend < s.FirstResend) {
			s.FirstResend = h.resend
		}
	}
	return s
}
