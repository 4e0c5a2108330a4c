package handshake

import (
	"fmt"
	"net/netip"
	"time"

	"onconn/backlog"
	"onconn/internal/capture"
)

// Config says how to analyse. Its zero value is for a file.
type Config struct {
	Keep    int  // attempts kept for the result, the worst ones; 0: 1000
	Packets bool // keep the first packets of each

	// For a live capture: the queue that a SYN to an address finds, what the
	// namespace is set to, and what is called with each attempt that is over.
	Depth   func(server netip.AddrPort) (Depth, bool)
	Sysctls *backlog.Sysctls
	Each    func(*Attempt)
}

// An Analysis tells attempts apart and judges them. Its memory doesn't grow with
// the number of packets.
type Analysis struct {
	config Config
	totals Totals
	table  map[flow]*conn
	oldest *conn
	newest *conn
	older  map[flow]struct{} // connections whose beginning isn't known any more
	hosts  map[netip.Addr]*host
	worst  worst
}

// Totals are sums over all packets.
type Totals struct {
	Packets    int // of any kind
	Segments   int // of TCP
	SYNs       int
	SYNACKs    int
	Copies     int // SYNs and SYN-ACKs captured twice
	Attempts   int
	Clients    int // addresses, up to 65536
	Before     int // connections whose beginning isn't in the capture, up to 65536
	Kinds      map[Kind]int
	Start, End time.Time
}

const (
	maxConns = 1 << 15
	maxSets  = 1 << 16
	maxShown = 48 // packets of an attempt

	// idle is longer than the longest wait between two tries of Linux, 64 s.
	idle = 150 * time.Second
)

// New starts an analysis.
func New(c Config) *Analysis {
	if c.Keep == 0 {
		c.Keep = 1000
	}
	return &Analysis{
		config: c,
		totals: Totals{Kinds: map[Kind]int{}},
		table:  map[flow]*conn{},
		older:  map[flow]struct{}{},
		hosts:  map[netip.Addr]*host{},
		worst:  worst{keep: c.Keep},
	}
}

// Packet takes the next packet, in order of time.
func (a *Analysis) Packet(p capture.Packet) {
	a.totals.Packets++
	if s, ok := capture.Parse(p); ok {
		a.Segment(p.Time, s)
	}
}

// Segment takes the next segment.
func (a *Analysis) Segment(t time.Time, s capture.Segment) {
	a.totals.Segments++
	if a.totals.Start.IsZero() || t.Before(a.totals.Start) {
		a.totals.Start = t
	}
	if t.After(a.totals.End) {
		a.totals.End = t
	}
	a.expire(a.totals.End)
	switch {
	case s.Flags&(capture.SYN|capture.ACK|capture.RST) == capture.SYN:
		a.synSegment(t, s)
	case s.Flags&(capture.SYN|capture.RST) == capture.SYN:
		a.synackSegment(t, s)
	default:
		a.otherSegment(t, s)
	}
}

func (a *Analysis) synSegment(t time.Time, s capture.Segment) {
	a.totals.SYNs++
	f := flow{s.Src, s.Dst}
	if r := a.table[flow{s.Dst, s.Src}]; r != nil && r.SYNs.N > 0 && r.SYNACKs.N == 0 && r.Reset.IsZero() {
		r.simultaneous = true
		a.note(r, t, s, false)
		return
	}
	c := a.table[f]
	if c != nil && (c.SYNs.N == 0 || c.isn != s.Seq) {
		a.finish(c)
		c = nil
	}
	if c == nil {
		c = a.begin(f, t)
		if h := a.host(s.Src.Addr()); h != nil && !h.client {
			h.client = true
			a.totals.Clients++
		}
	}
	if c.addSYN(t, s, a.depth(s.Dst)) {
		a.totals.Copies++
		return
	}
	a.note(c, t, s, true)
}

func (a *Analysis) synackSegment(t time.Time, s capture.Segment) {
	a.totals.SYNACKs++
	f := flow{s.Dst, s.Src}
	if r := a.table[flow{s.Src, s.Dst}]; r != nil && r.simultaneous {
		a.note(r, t, s, true)
		return
	}
	c := a.table[f]
	if c == nil {
		c = a.begin(f, t)
	}
	a.spoke(s.Src.Addr())
	// The answer to a SYN of ours acknowledges it, perhaps with its data.
	if c.SYNs.N > 0 && s.Ack-c.isn-1 > uint32(c.syn.Payload) {
		return
	}
	var d Depth
	if c.SYNACKs.N > 0 {
		d = a.depth(s.Src)
	}
	if c.addSYNACK(t, s, d) {
		a.totals.Copies++
		return
	}
	a.note(c, t, s, false)
}

func (a *Analysis) otherSegment(t time.Time, s capture.Segment) {
	if c := a.table[flow{s.Src, s.Dst}]; c != nil {
		located := !c.ACK.IsZero()
		c.fromClient(t, s)
		if !located && !c.ACK.IsZero() {
			a.locate(c, s)
		}
		a.note(c, t, s, true)
		a.closed(c)
		return
	}
	if c := a.table[flow{s.Dst, s.Src}]; c != nil {
		a.spoke(s.Src.Addr())
		var d Depth
		if s.Flags&capture.RST != 0 {
			d = a.depth(s.Src)
		}
		c.fromServer(t, s, d)
		a.note(c, t, s, false)
		a.closed(c)
		return
	}
	a.before(s)
}

// closed finishes a connection that both ends have closed.
func (a *Analysis) closed(c *conn) {
	if c.clientFIN && c.serverFIN {
		a.finish(c)
	}
}

// before counts a connection whose beginning isn't here. A lone RST is none.
func (a *Analysis) before(s capture.Segment) {
	if s.Flags&capture.RST != 0 || len(a.older) == maxSets {
		return
	}
	_, one := a.older[flow{s.Src, s.Dst}]
	_, other := a.older[flow{s.Dst, s.Src}]
	if !one && !other {
		a.older[flow{s.Src, s.Dst}] = struct{}{}
		a.totals.Before++
	}
}

func (a *Analysis) depth(server netip.AddrPort) Depth {
	if a.config.Depth == nil {
		return Depth{}
	}
	d, _ := a.config.Depth(server)
	return d
}

// note records a segment of c, which becomes the newest.
func (a *Analysis) note(c *conn, t time.Time, s capture.Segment, client bool) {
	if t.After(c.End) {
		c.End = t
	}
	a.unlink(c)
	a.link(c)
	if !a.config.Packets || len(c.Packets) == maxShown {
		return
	}
	seq, ack := s.Seq-c.isn, s.Ack-c.sisn
	if !client {
		seq, ack = s.Seq-c.sisn, s.Ack-c.isn
	}
	if s.Flags&capture.ACK == 0 {
		ack = 0
	}
	c.Packets = append(c.Packets, Segment{t, client, s.Flags, seq, ack, s.Payload})
}

func (a *Analysis) begin(f flow, t time.Time) *conn {
	if len(a.table) == maxConns {
		a.finish(a.oldest)
	}
	c := &conn{key: f}
	c.Client, c.Server, c.Start, c.End = f.client, f.server, t, t
	a.table[f] = c
	a.link(c)
	a.totals.Attempts++
	return c
}

// expire finishes attempts that have been silent for long.
func (a *Analysis) expire(now time.Time) {
	for a.oldest != nil && now.Sub(a.oldest.End) > idle {
		a.finish(a.oldest)
	}
}

// finish takes an attempt out of the table, judges it and keeps it if it is one
// of the worst.
func (a *Analysis) finish(c *conn) {
	delete(a.table, c.key)
	a.unlink(c)
	if c.Reset.IsZero() && len(a.older) < maxSets {
		a.older[c.key] = struct{}{} // more may come
	}
	a.judge(c)
	a.totals.Kinds[c.Verdict.Kind]++
	if a.config.Each != nil {
		a.config.Each(&c.Attempt)
	}
	a.worst.add(c)
}

func (a *Analysis) link(c *conn) {
	c.previous, c.nxt = a.newest, nil
	if a.newest != nil {
		a.newest.nxt = c
	} else {
		a.oldest = c
	}
	a.newest = c
}

func (a *Analysis) unlink(c *conn) {
	if c.previous != nil {
		c.previous.nxt = c.nxt
	} else {
		a.oldest = c.nxt
	}
	if c.nxt != nil {
		c.nxt.previous = c.previous
	} else {
		a.newest = c.previous
	}
	c.previous, c.nxt = nil, nil
}

// A Result is what an analysis has found.
type Result struct {
	Totals   Totals
	Attempts []*Attempt // the worst first; all, if there are no more than Config.Keep
}

// Finish judges what is still under way and returns the result. The analysis
// can't go on.
func (a *Analysis) Finish() Result {
	for a.oldest != nil {
		a.finish(a.oldest)
	}
	r := Result{Totals: a.totals}
	for _, c := range a.worst.conns {
		a.judge(c) // what was captured later may have told more
	}
	for _, c := range a.worst.sorted() {
		r.Attempts = append(r.Attempts, &c.Attempt)
	}
	return r
}

// Summary is a line on how it stands.
func (a *Analysis) Summary() string {
	return fmt.Sprintf("%s, %s to connect by %s", count(a.totals.SYNs, "SYN"), count(a.totals.Attempts, "attempt"), count(a.totals.Clients, "client"))
}
