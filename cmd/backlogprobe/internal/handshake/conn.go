package handshake

import (
	"time"

	"onconn/internal/capture"
)

// A conn is an attempt under way.
type conn struct {
	Attempt
	key        flow
	isn, sisn  uint32
	syn        capture.Segment // the first one
	synack     capture.Segment
	synackAt   time.Time
	lastSYN    time.Time // the last one before the SYN-ACK
	clientNext uint32    // sequence number after all data that the client sent
	lastData   time.Time

	again         int // SYN-ACKs after the client's ACK, without a reply in between
	againData     int // of those, after its data
	againFull     int // of those again, with a full accept queue
	firstAgain    time.Time
	resetBare     bool // a RST without ACK: no socket sent it
	resetFull     bool // the accept queue was full then
	serverData    bool
	serverFIN     bool
	clientFIN     bool
	clientSpoke   bool // segments beside the SYN
	excess        time.Duration
	excessKnown   bool
	simultaneous  bool
	previous, nxt *conn // in order of their last segments
}

// before compares sequence numbers, which wrap around.
func before(a, b uint32) bool { return int32(a-b) < 0 }

func (c *conn) addSYN(t time.Time, s capture.Segment, d Depth) (copied bool) {
	if c.SYNs.N > 0 && t.Sub(c.SYNs.Last) < copyWithin {
		return true
	}
	if c.SYNs.N == 0 {
		c.isn, c.syn, c.clientNext = s.Seq, s, s.Seq+1
	}
	c.SYNs.add(t)
	if c.SYNACKs.N == 0 {
		c.lastSYN = t
	}
	if len(c.Depths) < len(c.SYNs.Times) {
		c.Depths = append(c.Depths, d)
	}
	return false
}

func (c *conn) addSYNACK(t time.Time, s capture.Segment, d Depth) (copied bool) {
	if c.SYNACKs.N > 0 && t.Sub(c.SYNACKs.Last) < copyWithin {
		return true
	}
	if c.SYNACKs.N == 0 {
		c.sisn, c.synack, c.synackAt = s.Seq, s, t
		if c.SYNs.N == 0 {
			c.isn, c.clientNext = s.Ack-1, s.Ack
		}
	}
	c.SYNACKs.add(t)
	if c.ACK.IsZero() || !c.Reply.IsZero() {
		return false
	}
	if c.again++; c.again == 1 {
		c.firstAgain = t
	}
	if !c.Data.IsZero() {
		c.againData++
	}
	if d.Members > 0 && d.Full() {
		c.againFull++
	}
	return false
}

func (c *conn) fromClient(t time.Time, s capture.Segment) {
	if s.Flags&capture.RST != 0 {
		c.reset(t, s, TheClient)
		return
	}
	c.clientSpoke = true
	c.clientFIN = c.clientFIN || s.Flags&capture.FIN != 0
	if c.SYNACKs.N == 0 || before(s.Ack, c.sisn+1) {
		return
	}
	if c.ACK.IsZero() {
		c.ACK = t
	}
	if s.Payload == 0 {
		return
	}
	if c.Data.IsZero() {
		c.Data = t
	}
	if end := s.Seq + uint32(s.Payload); before(c.clientNext, end) {
		c.clientNext = end
	} else if c.Reply.IsZero() && t.Sub(c.lastData) > copyWithin/10 {
		c.Resent++
	}
	c.lastData = t
}

func (c *conn) fromServer(t time.Time, s capture.Segment, d Depth) {
	if s.Flags&capture.RST != 0 {
		c.reset(t, s, TheServer)
		c.resetFull = c.resetFull || d.Members > 0 && d.Full()
		return
	}
	c.serverData = c.serverData || s.Payload > 0
	c.serverFIN = c.serverFIN || s.Flags&capture.FIN != 0
	if c.Reply.IsZero() {
		c.Reply = t
		c.clock(t, s)
	}
}

func (c *conn) reset(t time.Time, s capture.Segment, by End) {
	if c.Reset.IsZero() {
		c.Reset, c.ResetBy = t, by
		c.resetBare = s.Flags&capture.ACK == 0
	}
}

// clock measures how far the SYN-ACK's timestamp is behind the clock that the
// server's next segment shows, which Linux advances once a millisecond. A cookie
// keeps the client's options in its 6 lowest bits and rounds it down for that
// (cookie_init_timestamp).
func (c *conn) clock(t time.Time, s capture.Segment) {
	if c.SYNACKs.N == 0 || !s.HasTS || !c.synack.HasTS {
		return
	}
	if real := t.Sub(c.synackAt); real < 10*time.Second {
		c.excess = time.Duration(int32(s.TSVal-c.synack.TSVal))*time.Millisecond - real
		c.excessKnown = true
	}
}

// cookie reports whether the clock shows a SYN cookie. A clock of another pace
// is either slower than Linux's or ahead by much more.
func (c *conn) cookie() bool {
	return c.excessKnown && c.excess > 4*time.Millisecond && c.excess < 130*time.Millisecond
}
