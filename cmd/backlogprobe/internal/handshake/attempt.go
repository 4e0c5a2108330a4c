package handshake

import (
	"net/netip"
	"time"

	"onconn/internal/capture"
)

// An Attempt is one try to connect: all segments of a client's address and port
// to a server's with one initial sequence number.
type Attempt struct {
	Client  netip.AddrPort
	Server  netip.AddrPort
	Start   time.Time // its first segment
	End     time.Time // its last one
	SYNs    Sent
	SYNACKs Sent
	ACK     time.Time // the client's first answer to the SYN-ACK; zero: none
	Data    time.Time // the client's first data after the handshake
	Resent  int       // segments of data that the client sent again before any answer
	Reply   time.Time // the server's first segment after the handshake: it is connected
	Reset   time.Time
	ResetBy End

	Near    Side // where it was captured
	Verdict Verdict
	Notes   []string  // what else was agreed on
	Depths  []Depth   // live: the accept queue at each of SYNs.Times; Members 0: unknown
	Packets []Segment // see Config.Packets
}

// Sent is when the copies of a segment were sent: the first 16, of N.
type Sent struct {
	N     int
	Times []time.Time
	Last  time.Time
}

const maxTimes = 16

func (s *Sent) add(t time.Time) {
	s.N++
	s.Last = t
	if len(s.Times) < maxTimes {
		s.Times = append(s.Times, t)
	}
}

// Waited is how long the client has waited for the server's first answer after
// its SYN, or so far.
func (a *Attempt) Waited() time.Duration {
	end := a.End
	switch {
	case !a.Reply.IsZero():
		end = a.Reply
		if a.troubleless() && !a.ACK.IsZero() {
			end = a.ACK // a server may well have nothing to say
		}
	case !a.Reset.IsZero():
		end = a.Reset
	case a.troubleless() && !a.ACK.IsZero():
		end = a.ACK
	}
	return max(end.Sub(a.Start), 0)
}

// troubleless: nothing shows that a finished handshake was refused.
func (a *Attempt) troubleless() bool { return a.Verdict.Kind != ACKRefused }

// End is one end of a connection.
type End uint8

const (
	Nobody End = iota
	TheClient
	TheServer
)

// A Side is where a capture was taken.
type Side uint8

const (
	Elsewhere  Side = iota // or unknown
	NearServer             // the server's host, or close to it
	NearClient
	NearBoth // one host, or a fast network
)

func (s Side) String() string {
	return [...]string{"unknown", "server", "client", "both"}[s]
}

// A Segment is what the packets of an attempt were, in order.
type Segment struct {
	Time       time.Time
	FromClient bool
	Flags      capture.Flags
	Seq, Ack   uint32 // relative to the initial sequence numbers
	Payload    int
}

// A Verdict is what became of an attempt.
type Verdict struct {
	Kind      Kind
	Certainty Certainty
	Text      string   // in words, without a full stop
	Rules     []string // that led to it
}

// A Kind is a stable name of what can happen to an attempt.
type Kind string

// Kinds, the worst first.
const (
	ACKRefused    Kind = "final-ack-refused"   // the handshake's end found the accept queue full
	SYNUnanswered Kind = "syn-refused-or-lost" // no answer to any SYN
	DataIgnored   Kind = "data-unanswered"     // after the handshake, as far as the client knows
	ResetAfterACK Kind = "reset-after-handshake"
	ClosedPort    Kind = "closed-port"
	AnsweredLate  Kind = "answered-late" // the first SYNs were refused or lost
	NeverFinished Kind = "never-finished"
	Deferred      Kind = "deferred" // TCP_DEFER_ACCEPT
	OneWay        Kind = "one-way"  // one direction isn't in the capture
	ClientLeft    Kind = "client-left"
	Simultaneous  Kind = "simultaneous-open"
	Unfinished    Kind = "unfinished" // the capture ended too early
	Connected     Kind = "connected"
)

// Kinds are all kinds, the worst first.
var Kinds = []Kind{ACKRefused, SYNUnanswered, DataIgnored, ResetAfterACK, ClosedPort, AnsweredLate, NeverFinished,
	Deferred, OneWay, ClientLeft, Simultaneous, Unfinished, Connected}

var rank = func() map[Kind]int {
	m := map[Kind]int{}
	for i, k := range Kinds {
		m[k] = len(Kinds) - i
	}
	return m
}()

// Certainty is how much a verdict is worth.
type Certainty string

const (
	Certain    Certainty = "certain"
	Consistent Certainty = "consistent with" // the likely cause, but not the only possible one
	CannotTell Certainty = "cannot tell from this side"
)
