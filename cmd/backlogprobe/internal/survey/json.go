package survey

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"onconn/backlog"
)

var severities = [...]string{OK: "ok", Warning: "warning", Critical: "critical", Unknown: "unknown"}

func (s Severity) String() string { return severities[s] }

// MarshalText is for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is for JSON.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severities[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown severity %q", text)
	}
	*s = Severity(i)
	return nil
}

// MarshalJSON leaves out the counters that have nothing to do with queues.
func (n Namespace) MarshalJSON() ([]byte, error) {
	type plain Namespace
	n.Counters, n.Delta = queueCounters(n.Counters), queueCounters(n.Delta)
	return json.Marshal(plain(n))
}

// queueCounters are what a reader may want who asks why clients wait.
func queueCounters(c backlog.Counters) backlog.Counters {
	if c == nil {
		return nil
	}
	few := backlog.Counters{}
	for name, n := range c {
		for _, prefix := range []string{"TcpExtListen", "TcpExtSyncookies", "TcpExtTCPReqQFull", "TcpExtTCPMigrateReq",
			"TcpExtTCPFastOpen", "TcpExtEmbryonicRsts", "TcpExtTCPSynRetrans", "TcpPassiveOpens", "TcpOutRsts"} {
			if strings.HasPrefix(name, prefix) {
				few[name] = n
			}
		}
	}
	return few
}

// once and ofUnix are the fields that are null for one reading, and for unix
// sockets.
var (
	once   = []string{"peak", "full_ns", "times_full", "longest_stall_ns"}
	ofUnix = []string{"drops", "drops_delta", "half_open"}
)

// unknown says why fields of rows are null.
func (n *seen) unknown(rows []Row, r *Report) {
	if n.watcher == nil {
		for _, field := range once {
			r.UnknownWhy[field] = "one reading doesn't tell"
		}
	}
	if r.Sampled == 0 {
		for _, field := range []string{"drops_delta", "counters_delta"} {
			r.UnknownWhy[field] = "one reading doesn't tell"
		}
	}
	if slices.ContainsFunc(rows, func(row Row) bool { return row.Port == 0 }) {
		for _, field := range ofUnix {
			r.UnknownWhy[field] = strings.TrimPrefix(r.UnknownWhy[field]+"; unix sockets don't count them", "; ")
		}
	}
}

// MarshalJSON has null for what is unknown, rather than 0.
func (r Row) MarshalJSON() ([]byte, error) {
	type plain Row
	v := struct {
		plain
		Peak         *int      `json:"peak"`
		Full         *Duration `json:"full_ns"`
		Fulls        *int      `json:"times_full"`
		Stall        *Duration `json:"longest_stall_ns"`
		Drops        *uint32   `json:"drops"`
		Dropped      *uint32   `json:"drops_delta"`
		HalfOpen     *int      `json:"half_open"`
		BytesWaiting *int      `json:"bytes_waiting"`
		GivenUp      *int      `json:"given_up"`
	}{plain: plain(r)}
	if r.watched {
		v.Peak, v.Full, v.Fulls, v.Stall = &r.Peak, &r.Full, &r.Fulls, &r.Stall
	}
	if r.Port != 0 {
		v.Drops, v.HalfOpen = &r.Drops, &r.HalfOpen
		if r.since {
			v.Dropped = &r.Dropped
		}
	}
	if r.Depth == 0 || r.OldestWait != nil {
		v.BytesWaiting, v.GivenUp = &r.BytesWaiting, &r.GivenUp
	}
	return json.Marshal(v)
}
