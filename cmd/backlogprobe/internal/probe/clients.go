package probe

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"
)

// A handshake is one that we play, segment by segment.
type handshake struct {
	from     netip.AddrPort
	seq      uint32 // of the SYN
	theirs   uint32 // of the SYN-ACK
	sent     time.Time
	answers  int           // SYN-ACKs
	resend   time.Duration // from the first SYN-ACK to the second
	answered time.Time
	acked    bool // we have sent the final ACK
	reset    bool // the answer was a RST
}

// clients play handshakes against one listener from the addresses of a tun.
type clients struct {
	tun    *tun
	target netip.AddrPort
	all    []*handshake
	find   map[netip.AddrPort]*handshake
	finish bool // answer a SYN-ACK with the final ACK
	buf    [2048]byte
}

// newClients makes the interface; the caller calls close.
func newClients(target netip.AddrPort) (*clients, error) {
	t, err := openTUN()
	if err != nil {
		return nil, err
	}
	if target.Addr().IsLoopback() {
		if err := t.routeLocalnet(); err != nil {
			t.close()
			return nil, err
		}
	}
	return &clients{tun: t, target: target, find: map[netip.AddrPort]*handshake{}}, nil
}

// syn sends the SYN of one more client.
func (c *clients) syn() error {
	n := len(c.all)
	from := c.tun.subnet.Addr().As4()
	from[3] = byte(10 + n%200)
	h := &handshake{
		from: netip.AddrPortFrom(netip.AddrFrom4(from), uint16(20000+n/200)),
		seq:  rand.Uint32(), sent: time.Now(),
	}
	c.all = append(c.all, h)
	c.find[h.from] = h
	if err := c.send(segment{from: h.from, seq: h.seq, syn: true}); err != nil {
		return err
	}
	return c.receive(0)
}

// ack ends a handshake that has been answered.
func (c *clients) ack(h *handshake) error {
	h.acked = true
	return c.send(segment{from: h.from, seq: h.seq + 1, ackSeq: h.theirs + 1, ack: true})
}

// rst makes the kernel forget a request or a connection.
func (c *clients) rst(h *handshake) error {
	return c.send(segment{from: h.from, seq: h.seq + 1, rst: true})
}

func (c *clients) send(s segment) error {
	s.to = c.target
	packet, err := s.encode()
	if err != nil {
		return err
	}
	return c.tun.write(packet)
}

// receive takes what has come, and waits for the first of it.
func (c *clients) receive(wait time.Duration) error {
	for {
		packet, err := c.tun.read(c.buf[:], wait)
		if err != nil || packet == nil {
			return err
		}
		wait = 0
		s, ok := decode(packet)
		h := c.find[s.to]
		if !ok || h == nil || s.from != c.target {
			continue
		}
		switch {
		case s.rst:
			h.reset = true
		case s.syn && s.ack:
			if err := c.answer(h, s.seq); err != nil {
				return err
			}
		}
	}
}

func (c *clients) answer(h *handshake, seq uint32) error {
	h.answers++
	switch h.answers {
	case 1:
		h.answered, h.theirs = time.Now(), seq
		if c.finish {
			return c.ack(h)
		}
	case 2:
		h.resend = time.Since(h.answered)
	}
	return nil
}

// listen receives until then, or until ctx ends.
func (c *clients) listen(ctx context.Context, until time.Time) error {
	for ctx.Err() == nil {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		if err := c.receive(min(left, 20*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

func (c *clients) close() { c.tun.close() }
