package probe

import (
	"time"

	"onconn/backlog"
)

// Schema is the version of the JSON form. A change that breaks readers changes it.
const Schema = "backlogprobe-probe/1"

// A Report is what was measured. Its JSON has durations as integers of
// nanoseconds in fields that end in _ns, and null for what wasn't measured. What
// can't be known is null or 0, with the reason in unknown_why.
type Report struct {
	Schema      string        `json:"schema"`
	Time        time.Time     `json:"time"` // the start
	Took        time.Duration `json:"took_ns"`
	Target      string        `json:"target"`
	Interrupted bool          `json:"interrupted"`

	Listener *ListenerFacts `json:"listener"`
	Capacity *Capacity      `json:"capacity"`
	Recovery *Recovery      `json:"recovery"`
	Burst    *Burst         `json:"burst"`
	SYN      *SYNs          `json:"syn"`
	Counters *Counters      `json:"counters"`
	Grade    *Grade         `json:"grade"`

	Missed     []string          `json:"missed,omitempty"` // thresholds; see Judge
	Notes      []string          `json:"notes,omitempty"`
	UnknownWhy map[string]string `json:"unknown_why,omitempty"`
}

// ListenerFacts is the listener, or the SO_REUSEPORT group, as the kernel
// showed it before the probe began.
type ListenerFacts struct {
	Local    string          `json:"local"`
	MPTCP    bool            `json:"mptcp"`
	Members  int             `json:"members"`
	Limit    int             `json:"limit"`    // of all members
	Promised int             `json:"promised"` // connections: one more than the limit for each member
	Depth    int             `json:"accept_queue"`
	Drops    int             `json:"drops"` // lifetime; packets, not clients
	Sysctls  backlog.Sysctls `json:"sysctls"`
	Owners   []Owner         `json:"owners"` // null: hidden from us
}

// An Owner is a process that holds the listener.
type Owner struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
}

// Capacity is how many connections the accept queue took while nobody accepted.
type Capacity struct {
	Measured    int           `json:"measured"` // with what waited there before
	AtLeast     bool          `json:"at_least"` // the bounds of the probe came first
	ConnectTime time.Duration `json:"connect_p50_ns"`
	Refused     int           `json:"refused"` // clients beyond
	Refusal     Refusal       `json:"refusal"`
	Stopped     time.Duration `json:"stopped_ns"` // how long the server was; 0: it didn't accept anyway
}

// A Refusal is what happens to a client that finds no place.
type Refusal string

const (
	NotRefused Refusal = ""
	Silence    Refusal = "silence"     // SYN dropped: the client tries again
	Reset      Refusal = "reset"       // RST to the SYN: ECONNREFUSED
	TryAgain   Refusal = "try-again"   // EAGAIN, unix sockets
	LateReset  Refusal = "late-reset"  // RST when the client thought it was connected
	NoListener Refusal = "no-listener" // unix: ECONNREFUSED
)

// Recovery is how the clients fared who were refused while the server stood still.
type Recovery struct {
	Clients    int           `json:"clients"`
	Connected  int           `json:"connected"`
	FirstRetry time.Duration `json:"first_retry_ns"` // the first connected so long after SIGCONT
	All        time.Duration `json:"last_ns"`        // and the last
	Longest    time.Duration `json:"longest_connect_ns"`
}

// Burst is many clients within a second.
type Burst struct {
	Clients    int           `json:"clients"`
	Over       time.Duration `json:"over_ns"`
	AtOnce     int           `json:"connected_at_once"` // with the first SYN
	Retried    int           `json:"connected_after_retry"`
	Unanswered int           `json:"unanswered"` // when the time was over
	Refused    int           `json:"refused"`
	ResetLater int           `json:"reset_after_connect"`
	P50        time.Duration `json:"connect_p50_ns"` // of all clients, as long as they had waited
	P99        time.Duration `json:"connect_p99_ns"`
	Max        time.Duration `json:"connect_max_ns"`
	Peak       *int          `json:"peak"` // of the accept queue
	Refusal    Refusal       `json:"refusal"`
}

// SYNs is what bare SYNs met.
type SYNs struct {
	Sent         int           `json:"sent"`
	Answered     int           `json:"answered"`   // by a SYN-ACK
	Queued       int           `json:"queued"`     // and that sent again: the kernel keeps the request
	Cookies      int           `json:"cookies"`    // and not again
	Unanswered   int           `json:"unanswered"` // dropped
	Reset        int           `json:"reset"`
	Completed    int           `json:"completed"`         // handshakes finished
	FinalRefused int           `json:"final_ack_refused"` // SYN-ACK again though the final ACK was sent
	FirstResend  time.Duration `json:"first_resend_ns"`
	HalfOpen     *int          `json:"half_open"`       // ours in SYN_RECV before we reset them
	Left         *int          `json:"half_open_after"` // and after
}

// Counters are what the kernel counted meanwhile, beside what we know of.
type Counters struct {
	ListenOverflows uint64 `json:"listen_overflows"`
	ListenDrops     uint64 `json:"listen_drops"`
	SyncookiesSent  uint64 `json:"syncookies_sent"`
	ReqQFullDrop    uint64 `json:"req_queue_full_drops"`
	Listener        int    `json:"listener_drops"`
	SYNs            int    `json:"refused_syns"`    // of ours
	Clients         int    `json:"refused_clients"` // of ours
	Agree           bool   `json:"agree"`
	Why             string `json:"difference,omitempty"`
}

// A Grade is what a burst of clients would say about the listener.
type Grade struct {
	Letter string `json:"letter"` // A to F
	Why    string `json:"why"`
}

func (r *Report) unknown(field, why string) {
	if r.UnknownWhy == nil {
		r.UnknownWhy = map[string]string{}
	}
	r.UnknownWhy[field] = why
}
