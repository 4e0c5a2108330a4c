// Package survey looks at the listeners of one or more network namespaces for a
// while and reports what it saw, and what that means, as data: the tables, live
// views, checks and metrics of backlogprobe are views of its Report.
package survey

import (
	"time"

	"onconn/backlog"
)

// Schema is the version of the JSON form. A change that breaks readers changes it.
const Schema = "backlogprobe/1"

// A Report is one look. Its JSON has integers as numbers, times as RFC 3339,
// durations as integers of nanoseconds in fields that end in _ns, and null for
// what is unknown, with the reason in unknown_why.
type Report struct {
	Schema     string      `json:"schema"`
	Time       time.Time   `json:"time"`        // the end of the look
	Sampled    Duration    `json:"sampled_ns"`  // how long it looked; 0: one reading
	Interval   Duration    `json:"interval_ns"` // between samples
	Namespaces []Namespace `json:"namespaces"`
	Listeners  []Row       `json:"listeners"`
	Findings   []Finding   `json:"findings"` // the worst first

	// UnknownWhy says for each field that may be null why it is, anywhere in the report:
	// "owners": "12 sockets belong to other users: run as root for their names".
	UnknownWhy map[string]string `json:"unknown_why,omitempty"`

	filtered bool // it has not all listeners
}

// Duration is a time.Duration whose JSON is an integer of nanoseconds.
type Duration = time.Duration

// A Namespace is what holds for a whole network namespace.
type Namespace struct {
	Name     string           `json:"name"` // "host" for our own, else as ip netns or PID names it
	ID       uint64           `json:"id"`
	Sysctls  backlog.Sysctls  `json:"sysctls"`
	Counters backlog.Counters `json:"counters"`       // since it was made
	Delta    backlog.Counters `json:"counters_delta"` // during the look; null: one reading
}

// A Row is one listener, or one SO_REUSEPORT group of them. The depth, limit,
// capacity and drops of a group are sums; its peak and times are those of the
// fullest member, since the kernel refuses what is meant for a full member
// though others have room.
type Row struct {
	Netns        string    `json:"netns"`
	Proto        string    `json:"proto"` // "tcp", "tcp6", "mptcp", "unix", "unix-seqpacket"
	Local        string    `json:"local"` // as ss prints it: "0.0.0.0:80", "*:80" (dual stack), "[::1]:80", "/run/x"
	Port         int       `json:"port"`  // 0: unix
	Depth        int       `json:"accept_queue"`
	Limit        int       `json:"limit"`
	Capacity     int       `json:"capacity"` // limit+1
	Peak         int       `json:"peak"`     // during the look
	Full         Duration  `json:"full_ns"`
	Fulls        int       `json:"times_full"`
	Drops        uint32    `json:"drops"`       // lifetime; packets, not clients
	Dropped      uint32    `json:"drops_delta"` // during the look
	HalfOpen     int       `json:"half_open"`   // SYN_RECV of the port
	Arrivals     *float64  `json:"arrivals_per_second"`
	Accepts      *float64  `json:"accepts_per_second"`
	OldestWait   *Duration `json:"oldest_wait_ns"`    // of a connection in the queue now; null: none or unknown
	BytesWaiting int       `json:"bytes_waiting"`     // received by connections in the queue
	GivenUp      int       `json:"given_up"`          // of those in the queue, closed by their clients already
	Waiters      []Waiter  `json:"waiters,omitempty"` // in the queue, the oldest 10
	Stall        Duration  `json:"longest_stall_ns"`
	Hurt         *Hurt     `json:"clients_hurt"`      // null: unknown
	Owners       []Owner   `json:"owners"`            // null: hidden
	Members      []Row     `json:"members,omitempty"` // of a group, in the kernel's order of sock_diag

	Inode       uint32              `json:"inode"`  // 0 for a group
	Cookie      uint64              `json:"cookie"` // 0 for a group
	Observation backlog.Observation `json:"-"`      // of a group: of the worst member

	watched bool // not one reading, which has no peak
	since   bool // there is an earlier reading to compare with
	samples int  // during the look
	resent  int  // of HalfOpen, those whose SYN-ACK was sent again
}

// A Waiter is a connection in the accept queue.
type Waiter struct {
	Addr    string   `json:"addr"` // of the client
	Waits   Duration `json:"waits_ns"`
	Bytes   int      `json:"bytes"`    // received, unread
	GivenUp bool     `json:"given_up"` // closed by the client already
}

// Hurt are the clients whose SYN or final ACK was refused and who wait now.
type Hurt struct {
	Clients   int      `json:"clients"`
	FinalACKs int      `json:"final_acks_refused"` // of Clients: they believe that they are connected; captured only
	Longest   Duration `json:"longest_wait_ns"`    // 0: unknown
	// How: "captured" (each seen on the wire) or "estimated" (from refusals per
	// second: Linux clients retry once a second at first).
	How   string   `json:"how"`
	Worst []Client `json:"worst,omitempty"` // captured only, at most 10, longest first
}

// A Client is one connection attempt that isn't answered.
type Client struct {
	Addr  string   `json:"addr"` // "10.0.0.1:3456"
	Tries int      `json:"tries"`
	Waits Duration `json:"waits_ns"`
	Path  string   `json:"path"` // "SYN refused" or "final ACK refused"
}

// An Owner is a process that holds the socket.
type Owner struct {
	PID       int    `json:"pid"`
	Parent    int    `json:"parent_pid"`
	Stopped   bool   `json:"stopped"` // by a signal such as SIGSTOP, or a debugger
	Command   string `json:"command"`
	FD        int    `json:"fd"`
	Unit      string `json:"unit,omitempty"`
	Container string `json:"container,omitempty"`

	// Accepts per second of this process, counted by the kernel's tracepoint of
	// accept: needs CAP_PERFMON. Share is of all owners' accepts, or of the
	// connections of the port that they hold when How is "held".
	Accepts *float64 `json:"accepts_per_second"`
	Share   *float64 `json:"share"` // 0 to 1
	How     string   `json:"share_how,omitempty"`
}

// Severity of a finding, in order.
type Severity int

const (
	OK Severity = iota
	Warning
	Critical
	Unknown
)

// A Finding is something to say about a listener, in words.
type Finding struct {
	Severity Severity `json:"severity"` // its JSON is "ok", "warning", "critical", "unknown"
	Netns    string   `json:"netns"`
	Local    string   `json:"local"`
	Code     string   `json:"code"`          // stable name: "full-now", "full-mostly", "full-unseen", "too-slow", "drops", "clamped", "default-limit", "uneven", ...
	Lines    []string `json:"lines"`         // sentences, most important first
	Try      []string `json:"try,omitempty"` // commands to type next
}
