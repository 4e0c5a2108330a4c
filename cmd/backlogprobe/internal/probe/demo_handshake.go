package probe

import (
	"context"
	"time"
)

// syns plays n clients that send a SYN and then nothing.
func (s *stage) syns(n int) (*clients, error) {
	c, err := s.raw()
	if err != nil {
		return nil, err
	}
	for range n {
		if err := c.syn(); err != nil {
			return nil, err
		}
	}
	return c, c.receive(0)
}

func demoHalfOpen(ctx context.Context, s *stage) error {
	if err := s.listen(loopback, 32); err != nil {
		return err
	}
	c, err := s.syns(10)
	if err != nil {
		return err
	}
	if err := s.see("10 clients send a SYN to a listen(32), and never finish: %d got a SYN-ACK. The kernel keeps 10 half-open requests.", c.summary().Answered); err != nil {
		return err
	}
	if err := c.listen(ctx, time.Now().Add(resendTime)); err != nil {
		return err
	}
	if err := s.see("After %.2f s it has sent %d SYN-ACKs again. It will at 3, 7, 15 and 31 s too, and forget them after 63.", c.summary().FirstResend.Seconds(), c.summary().Queued); err != nil {
		return err
	}
	for _, h := range c.all {
		if err := c.rst(h); err != nil {
			return err
		}
	}
	until(ctx, patience, func() bool { n, err := s.halfOpen(); return err != nil || n == 0 })
	return s.see("The clients send a RST: the requests are gone at once. Each counts as a drop, though nothing was refused.")
}

func demoCookies(ctx context.Context, s *stage) error {
	for _, setting := range []string{"1", "0"} {
		if err := sysctl("tcp_syncookies", setting); err != nil {
			return err
		}
		if err := s.listen(loopback, 8); err != nil {
			return err
		}
		c, err := s.syns(100)
		if err != nil {
			return err
		}
		if err := s.see("tcp_syncookies=%s, listen(8): 100 clients send a SYN and never finish. %d are answered.", setting, c.summary().Answered); err != nil {
			return err
		}
		if err := c.listen(ctx, time.Now().Add(resendTime)); err != nil {
			return err
		}
		sum := c.summary()
		if setting == "1" {
			s.say("A second later %d SYN-ACKs come again: those the kernel keeps. The other %d were cookies: it keeps nothing of them.", sum.Queued, sum.Cookies)
			s.say("A cookie keeps TCP options only for clients that send timestamps. And if the final ACK finds a full accept queue, no SYN-ACK comes again: the client thinks it is connected, and only data that it sends can let it in.")
		} else {
			s.say("Without cookies %d SYNs were dropped: their clients wait a second and try again.", sum.Unanswered)
		}
	}
	return nil
}

func demoRST(ctx context.Context, s *stage) error {
	if err := s.listen(loopback, 4); err != nil {
		return err
	}
	c, err := s.syns(3)
	if err != nil {
		return err
	}
	if err := s.see("3 clients on slow lines send a SYN to a listen(4). They are answered, and their final ACKs are under way."); err != nil {
		return err
	}
	if _, err := s.connect(ctx, 5); err != nil {
		return err
	}
	if err := s.see("Meanwhile 5 fast ones fill the accept queue."); err != nil {
		return err
	}
	if err := c.ack(c.all[0]); err != nil {
		return err
	}
	if err := c.listen(ctx, time.Now().Add(resendTime)); err != nil {
		return err
	}
	if err := s.see("The first final ACK finds no place: dropped in silence. That client thinks it is connected; %d SYN-ACK came again.", c.all[0].answers-1); err != nil {
		return err
	}
	if err := sysctl("tcp_abort_on_overflow", "1"); err != nil {
		return err
	}
	for _, h := range c.all[1:] {
		if err := c.ack(h); err != nil {
			return err
		}
	}
	if err := c.listen(ctx, time.Now().Add(patience)); err != nil {
		return err
	}
	resets := 0
	for _, h := range c.all[1:] {
		if h.reset {
			resets++
		}
	}
	if err := s.see("With tcp_abort_on_overflow=1 the other two get a RST each (%d seen): connect() had worked, the first read fails with ECONNRESET.", resets); err != nil {
		return err
	}
	d, err := s.connect(ctx, 1)
	if err != nil {
		return err
	}
	return s.see("A new SYN is still dropped in silence (%d client without an answer): the setting is about final ACKs only.", d.pending)
}
