package survey

import (
	"fmt"
	"slices"

	"onconn/internal/words"
)

// namespace is about what the kernel counts or is told for all listeners. Of a
// few of them it tells only what concerns them.
func (j *judgement) namespace(n *Namespace) {
	if n.Sysctls.AbortOnOverflow == 1 && (!j.r.filtered || j.anyFull(n.Name)) {
		f := Finding{Severity: Warning, Netns: n.Name, Code: "abort-on-overflow", Lines: []string{
			"net.ipv4.tcp_abort_on_overflow is 1: a client whose final ACK finds a full accept queue gets a reset. SYNs are dropped in silence all the same."}}
		f.Try = []string{"sysctl -w net.ipv4.tcp_abort_on_overflow=0"}
		j.add(f)
	}
	if j.r.Sampled > 0 && (!j.r.filtered || j.crowded(n.Name) != nil) {
		j.handshakes(n)
	}
}

func (j *judgement) anyFull(netns string) bool {
	return slices.ContainsFunc(j.r.Listeners, func(row Row) bool { return row.Netns == netns && row.Fulls > 0 })
}

// handshakes is about queues of unfinished ones that were full.
func (j *judgement) handshakes(n *Namespace) {
	about := func(s Severity, code string, lines ...string) Finding {
		f := Finding{Severity: s, Netns: n.Name, Code: code, Lines: lines}
		if row := j.crowded(n.Name); row != nil {
			f.Local = row.Local
		}
		return f
	}
	if sent := n.Delta["TcpExtSyncookiesSent"]; sent > 0 && n.Sysctls.SynCookies != 2 {
		j.add(about(Warning, "cookies", fmt.Sprintf("%s sent %s: a queue of unfinished handshakes was full.", words.Count(int(sent), "SYN cookie"), j.during()),
			"Nobody is refused by that, but such connections lose TCP_SAVE_SYN and TCP_DEFER_ACCEPT, and a lost SYN-ACK isn't sent again."))
	}
	if n.Sysctls.SynCookies == 0 {
		full, short := n.Delta["TcpExtTCPReqQFullDrop"], n.Delta["TcpExtListenDrops"]-n.Delta["TcpExtListenOverflows"]
		if dropped := max(full, short); dropped > 0 && n.Delta["TcpExtListenDrops"] >= n.Delta["TcpExtListenOverflows"] {
			f := about(Critical, "syn-queue", fmt.Sprintf("%s dropped %s for want of room for unfinished handshakes: net.ipv4.tcp_syncookies is 0.", words.Count(int(dropped), "SYN"), j.during()))
			f.Try = []string{"sysctl -w net.ipv4.tcp_syncookies=1"}
			j.add(f)
		}
	}
}

// crowded is the only listener whose queue of unfinished handshakes is full, if
// there is one.
func (j *judgement) crowded(netns string) (found *Row) {
	for i := range j.r.Listeners {
		row := &j.r.Listeners[i]
		if row.Netns != netns || row.Port == 0 || row.HalfOpen < row.Capacity {
			continue
		}
		if found != nil {
			return nil
		}
		found = row
	}
	return found
}
