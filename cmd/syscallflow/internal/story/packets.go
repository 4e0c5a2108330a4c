package story

import (
	"fmt"
	"net/netip"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
)

// packets makes events of segments, following each connection's handshake.
func (t *teller) packets() {
	open := map[netip.AddrPort]*conn{}
	for i := range t.r.Packets {
		p := &t.r.Packets[i]
		l, inward := t.direction(p)
		if l == 0 {
			continue
		}
		client := p.From
		if !inward {
			client = p.To
		}
		c := open[client]
		syn := strings.Contains(p.Flags, "S") && !strings.Contains(p.Flags, "A")
		if c == nil || syn && inward && (c.syns == 0 || c.isn != p.Seq) {
			c = t.match(client, l, p)
			open[client] = c
		}
		c.packets = true
		t.packet(c, p, i, inward, syn)
	}
}

// direction finds the listener of a packet, and whether it goes there.
func (t *teller) direction(p *recording.Packet) (l recording.SocketID, inward bool) {
	if s := t.socks[p.Socket]; s != nil {
		l = s.ID
		if s.From != 0 {
			l = s.From
		}
	}
	for _, s := range t.listeners {
		switch {
		case l != 0 && s.ID != l || !s.local.IsValid():
		case p.To.Port() == s.local.Port() && (p.From.Port() != s.local.Port() || p.To.Addr() == s.local.Addr()):
			return s.ID, true
		case p.From.Port() == s.local.Port():
			return s.ID, false
		}
	}
	return 0, false
}

// match finds the accepted socket of a connection that begins, or begins one that
// may never be accepted.
func (t *teller) match(client netip.AddrPort, l recording.SocketID, p *recording.Packet) *conn {
	if c := t.byID[p.Socket]; c != nil && !c.packets {
		c.client = client
		return c
	}
	for _, c := range t.conns {
		if c.packets || c.accepted == 0 || c.client != client {
			continue
		}
		if s := t.socks[c.accepted]; s != nil && s.Made >= p.Time-t.r.Clock {
			return c
		}
	}
	c := &conn{client: client, listener: l}
	t.conns = append(t.conns, c)
	return c
}

func (t *teller) packet(c *conn, p *recording.Packet, index int, inward, syn bool) {
	kernel := t.queue(c.listener, "")
	e := event{at: p.Time, kind: Data, from: t.client(c), to: kernel, conn: c, socket: c.accepted,
		packet: index + 1, raw: []string{rawPacket(p)}}
	if !inward {
		e.from, e.to = e.to, e.from
	}
	has := func(flag string) bool { return strings.Contains(p.Flags, flag) }
	switch {
	case has("R"):
		e.label, e.sign, e.sit, e.state = "RST", "rst", "reset", Failed
	case syn && inward:
		c.syns++
		e.label, e.sign, e.sit = "SYN", "syn", "syn"
		if c.syns > 1 {
			e.label, e.sign, e.sit, e.state = "SYN again", "synAgain", "synAgain", Odd
		}
		if c.syns == 2 && c.synacks == 0 {
			for _, i := range c.events { // calls are there too, already
				if first := &t.events[i]; first.sit == "syn" {
					first.sit, first.state, first.result = "dropped", Odd, "no answer"
					first.why, first.man = explain("dropped")
				}
			}
		}
		c.isn, c.syn = p.Seq, p.Time
	case has("S"):
		c.synacks++
		e.label, e.sign, e.sit = "SYN-ACK", "synack", "synack"
		if c.synacks > 1 {
			e.label, e.sign, e.sit, e.state = "SYN-ACK again", "unheard", "unheard", Odd
			if c.done {
				e.sign, e.sit, e.state = "overflow", "overflow", Failed
				c.overflow = true
			}
		}
	case inward && !c.done && c.synacks > 0 && has("A"):
		c.done, c.finished, e.done = true, p.Time, true
		e.label, e.sign, e.sit = "ACK", "ack", "handshake"
		if p.Size > 0 {
			c.inbound++
			e.label = t.payload(p, c)
		}
	case p.Size > 0 && inward:
		c.inbound++
		e.label, e.sign, e.sit = t.payload(p, c), "data", "segment"
		if c.acceptedAt == 0 || p.Time < c.acceptedAt {
			e.sit, e.sign = "waits", "data"
		}
		e.minor = c.inbound > 1
	case p.Size > 0:
		e.label, e.sign, e.sit = t.payload(p, c), "reply", "reply"
		e.detail = c.replied // the write says it
	case has("F"):
		e.label, e.sign, e.sit = "FIN", "fin", "fin"
		e.detail, e.minor, c.fin = c.fin, true, true
	default:
		e.label, e.sign, e.detail = "ACK", "acks", true
	}
	t.add(e)
}

// payload says what a segment carries, by the frame or by the request made.
func (t *teller) payload(p *recording.Packet, c *conn) string {
	if n := len(p.Raw); p.Size > 0 && n > 0 {
		data := p.Raw[max(0, n-p.Size):]
		if whole := headers(p.Raw); whole > 0 && whole < n {
			data = p.Raw[whole:]
		}
		if text := excerpt(data, p.Size); !strings.HasPrefix(text, `"`) {
			return text
		}
	}
	for _, q := range t.r.Requests {
		if q.From == p.From && q.From == c.client && q.Text != "" {
			return fmt.Sprintf("%s %s", q.Text, bytesOf(p.Size))
		}
	}
	return bytesOf(p.Size)
}

// headers is the length of the link, IP and TCP headers of a frame with an
// Ethernet header, as the loopback has it too. 0: it is none.
func headers(frame []byte) int {
	const ethernet = 14
	if len(frame) < ethernet+40 {
		return 0
	}
	ip := ethernet
	switch frame[ip] >> 4 {
	case 4:
		ip += int(frame[ip]&15) * 4
	case 6:
		ip += 40
	default:
		return 0
	}
	if len(frame) < ip+20 {
		return 0
	}
	return ip + int(frame[ip+12]>>4)*4
}

// rawPacket is a packet in tcpdump's grammar.
func rawPacket(p *recording.Packet) string {
	flags := strings.NewReplacer("A", ".").Replace(p.Flags)
	return fmt.Sprintf("%s > %s: Flags [%s], seq %d, ack %d, length %d", p.From, p.To, flags, p.Seq, p.Ack, p.Size)
}

// requests tells of those that were made without packets captured, and that failed.
func (t *teller) requests() {
	for i := range t.r.Requests {
		q := &t.r.Requests[i]
		var c *conn
		for _, candidate := range t.conns {
			if candidate.client == q.From && q.From.IsValid() {
				c = candidate
			}
		}
		raw := []string{fmt.Sprintf("%s > %s: %s: %s%s", q.From, q.To, q.Text, q.Reply, q.Err)}
		if c != nil && !c.packets {
			t.add(event{at: q.Begin, kind: Data, from: t.client(c), to: t.queue(c.listener, ""), conn: c, socket: c.accepted,
				label: "connects, " + q.Text, sign: "connects", sit: "connects", raw: raw})
		}
		if q.Err != "" {
			why, man := explain("request", q.Err)
			t.add(event{at: q.End, kind: Act, from: actor{kind: Client}, to: actor{kind: Client}, conn: c,
				label: "request", sign: "request", sit: "request", state: Failed, why: why, man: man, raw: raw})
		}
	}
}
