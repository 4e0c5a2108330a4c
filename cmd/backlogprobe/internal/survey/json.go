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

// MarshalJSON names the settings as sysctl(8) does, with null for one that the
// kernel lacks, and leaves out the counters that have nothing to do with queues.
func (n Namespace) MarshalJSON() ([]byte, error) {
	type plain Namespace
	return json.Marshal(struct {
		plain
		Sysctls  map[string]*int  `json:"sysctls"`
		Counters backlog.Counters `json:"counters"`
		Delta    backlog.Counters `json:"counters_delta"`
	}{plain(n), settings(n.Sysctls), queueCounters(n.Counters), queueCounters(n.Delta)})
}

func settings(s backlog.Sysctls) map[string]*int {
	m := map[string]*int{
		"net.core.somaxconn":             &s.Somaxconn,
		"net.ipv4.tcp_max_syn_backlog":   &s.MaxSynBacklog,
		"net.ipv4.tcp_syncookies":        &s.SynCookies,
		"net.ipv4.tcp_abort_on_overflow": &s.AbortOnOverflow,
		"net.ipv4.tcp_synack_retries":    &s.SynackRetries,
		"net.ipv4.tcp_migrate_req":       &s.MigrateReq,
		"net.ipv4.tcp_fastopen":          &s.FastOpen,
	}
	for name, v := range m {
		if *v < 0 {
			m[name] = nil
		}
	}
	return m
}

// queueCounters are what a reader may want who asks why clients wait.
func queueCounters(c backlog.Counters) backlog.Counters {
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
