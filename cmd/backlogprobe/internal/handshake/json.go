package handshake

import (
	"net/netip"
	"time"
)

// Schema is the version of the JSON form. A change that breaks readers changes it.
const Schema = "backlogprobe-explain/1"

// A Document is a result in JSON: times as RFC 3339, durations as integers of
// nanoseconds in fields that end in _ns, and null for what is unknown or wasn't.
type Document struct {
	Schema        string     `json:"schema"`
	Source        string     `json:"source"` // a file, or an interface
	Incomplete    string     `json:"incomplete_why,omitempty"`
	PacketsMissed uint64     `json:"packets_missed"` // live: dropped by the kernel
	Totals        *TotalsDoc `json:"totals,omitempty"`
	// Attempts are the worst ones; Totals count all.
	Attempts []AttemptDoc `json:"attempts,omitempty"`
	Attempt  *AttemptDoc  `json:"attempt,omitempty"` // a line of a live capture
}

// TotalsDoc are [Totals] in JSON.
type TotalsDoc struct {
	Packets     int          `json:"packets"`
	Segments    int          `json:"tcp_segments"`
	SYNs        int          `json:"syns"`
	SYNACKs     int          `json:"syn_acks"`
	Copies      int          `json:"captured_twice"`
	Attempts    int          `json:"attempts"`
	Clients     int          `json:"clients"`
	BeganBefore int          `json:"connections_begun_before"`
	Kinds       map[Kind]int `json:"verdicts"`
	Start       *time.Time   `json:"start"`
	End         *time.Time   `json:"end"`
	CapturedFor int64        `json:"captured_ns"`
}

// AttemptDoc is an [Attempt] in JSON.
type AttemptDoc struct {
	Client      netip.AddrPort `json:"client"`
	Server      netip.AddrPort `json:"server"`
	Start       time.Time      `json:"start"`
	Waited      int64          `json:"waited_ns"`
	Kind        Kind           `json:"verdict"`
	Certainty   Certainty      `json:"certainty"`
	Text        string         `json:"text"`
	Rules       []string       `json:"rules"`
	Notes       []string       `json:"notes,omitempty"`
	Near        string         `json:"captured_near"`
	SYNs        int            `json:"syns"`
	SYNTimes    []time.Time    `json:"syn_times"` // the first 16
	SYNACKs     int            `json:"syn_acks"`
	SYNACKTimes []time.Time    `json:"syn_ack_times"`
	ACK         *time.Time     `json:"final_ack"`
	Data        *time.Time     `json:"first_data"`
	DataResent  int            `json:"data_resent"`
	Reply       *time.Time     `json:"first_reply"`
	Reset       *time.Time     `json:"reset"`
	ResetBy     string         `json:"reset_by,omitempty"`
	Queues      []*QueueDoc    `json:"accept_queue_at_syns,omitempty"`
}

// QueueDoc is a [Depth] in JSON.
type QueueDoc struct {
	Depth   int  `json:"accept_queue"`
	Limit   int  `json:"limit"`
	Full    bool `json:"full"`
	Members int  `json:"reuseport_members"`
}

// Doc is the JSON form of totals.
func (t *Totals) Doc() *TotalsDoc {
	return &TotalsDoc{t.Packets, t.Segments, t.SYNs, t.SYNACKs, t.Copies, t.Attempts, t.Clients, t.Before,
		t.Kinds, known(t.Start), known(t.End), t.End.Sub(t.Start).Nanoseconds()}
}

// Doc is the JSON form of an attempt.
func (a *Attempt) Doc() AttemptDoc {
	d := AttemptDoc{
		Client: a.Client, Server: a.Server, Start: a.Start.UTC(), Waited: a.Waited().Nanoseconds(),
		Kind: a.Verdict.Kind, Certainty: a.Verdict.Certainty, Text: a.Verdict.Text, Rules: a.Verdict.Rules,
		Notes: a.Notes, Near: a.Near.String(),
		SYNs: a.SYNs.N, SYNTimes: utc(a.SYNs.Times), SYNACKs: a.SYNACKs.N, SYNACKTimes: utc(a.SYNACKs.Times),
		ACK: known(a.ACK), Data: known(a.Data), DataResent: a.Resent, Reply: known(a.Reply), Reset: known(a.Reset),
		ResetBy: [...]string{"", "client", "server"}[a.ResetBy],
	}
	if !a.anyDepth() {
		return d
	}
	for _, q := range a.Depths {
		var doc *QueueDoc
		if q.Members > 0 {
			doc = &QueueDoc{q.Depth, q.Limit, q.Full(), q.Members}
		}
		d.Queues = append(d.Queues, doc)
	}
	return d
}

func (a *Attempt) anyDepth() bool {
	for _, d := range a.Depths {
		if d.Members > 0 {
			return true
		}
	}
	return false
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func utc(times []time.Time) []time.Time {
	all := make([]time.Time, len(times))
	for i, t := range times {
		all[i] = t.UTC()
	}
	return all
}
