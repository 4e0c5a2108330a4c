package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"onconn/internal/words"
)

// judge says in words what a report means. It claims only what the figures
// show: drops are refused packets, and neither clients nor overflows.
func judge(r *Report) {
	j := &judgement{r: r}
	for i := range r.Namespaces {
		j.namespace(&r.Namespaces[i])
	}
	for i := range r.Listeners {
		j.listener(&r.Listeners[i])
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return a.Severity.rank() - b.Severity.rank() })
}

// rank orders the worst first.
func (s Severity) rank() int { return [...]int{Critical: 0, Warning: 1, Unknown: 2, OK: 3}[s] }

// Worse reports whether s matters more than t.
func (s Severity) Worse(t Severity) bool { return s.rank() < t.rank() }

type judgement struct{ r *Report }

func (j *judgement) add(f Finding) { j.r.Findings = append(j.r.Findings, f) }

// found makes a finding about a listener.
func found(s Severity, row *Row, code string, lines ...string) Finding {
	return Finding{Severity: s, Netns: row.Netns, Local: row.Local, Code: code, Lines: lines}
}

func (j *judgement) namespaceOf(row *Row) *Namespace {
	for i := range j.r.Namespaces {
		if j.r.Namespaces[i].Name == row.Netns {
			return &j.r.Namespaces[i]
		}
	}
	return &Namespace{}
}

func (j *judgement) listener(row *Row) {
	worst := row.Worst()
	n := j.namespaceOf(row)
	raise := true
	switch {
	case worst.Depth >= worst.Capacity:
		raise = j.fullNow(row, &worst)
	case row.Fulls > 0:
		j.fullAtTimes(row, &worst)
	case j.r.Sampled > 0 && row.Dropped > 0 && n.Delta["TcpExtListenDrops"] > 0:
		j.refusing(row, n)
	case row.Drops > 0:
		j.waiting(row)
		none := ""
		if j.r.Sampled > 0 {
			none = ", none " + j.during()
		}
		j.add(found(OK, row, "drops", fmt.Sprintf("%s since the socket was made%s. They are packets, retries included.",
			words.Count(int(row.Drops), "refusal"), none)))
	default:
		j.waiting(row)
		j.uneven(row)
		return
	}
	j.finalACKs(row, n)
	if limit := j.limit(row, &worst, n); limit.Lines != nil {
		if !raise {
			limit.Try = nil
		}
		j.add(limit)
	}
	j.uneven(row)
}

// during is the time of the look, which is not 0.
func (j *judgement) during() string {
	return "in the last " + words.Duration(j.r.Sampled)
}

// watched is how long peaks and times full have been collected.
func (j *judgement) watched(row *Row) time.Duration {
	return cmp.Or(row.Observation.Until.Sub(row.Observation.Since), j.r.Sampled)
}

// fullNow reports whether a larger backlog is worth a try.
func (j *judgement) fullNow(row, worst *Row) (raise bool) {
	state := fmt.Sprintf("Accept queue full: %d of %d places are taken", worst.Depth, worst.Capacity)
	if row.Members != nil {
		full := 0
		for _, m := range row.Members {
			if m.Depth >= m.Capacity {
				full++
			}
		}
		state = fmt.Sprintf("%d of %d sockets have a full accept queue, and what is hashed to them is refused: %d of %d places are taken",
			full, len(row.Members), worst.Depth, worst.Capacity)
	}
	if row.OldestWait != nil {
		state += ", the oldest for " + words.Duration(*row.OldestWait)
	}
	f := found(Critical, row, "full-now", state+".")
	if row.Port == 0 {
		f.Lines = append(f.Lines, "connect(2) waits until a place is free; a non-blocking one fails with EAGAIN.")
	} else {
		f.Lines = append(f.Lines, j.refused(row))
	}
	if row.GivenUp > 0 {
		f.Lines = append(f.Lines, fmt.Sprintf("%d of those that wait were closed by their clients already; they keep their places until they are accepted.", row.GivenUp))
	}
	pace := j.pace(row, worst)
	if pace.Code != "not-accepting" && pace.Code != "slow-member" && row.Port != 0 { // else there is nothing to measure
		f.Try = []string{"backlogprobe advise " + j.target(row)}
	}
	j.add(f)
	if pace.Lines != nil {
		j.add(pace)
	}
	return pace.Code != "slow-member"
}

// refused says who is hurt.
func (j *judgement) refused(row *Row) string {
	switch h := row.Hurt; {
	case h == nil && j.r.Sampled >= time.Second/2 && row.Dropped == 0:
		return "Nobody was refused " + j.during() + "; clients that were before it try ever more seldom."
	case h == nil:
		return "What comes now gets no answer; clients try again after a second."
	case h.Clients == 0:
		return "Nobody was refused " + j.during() + "."
	case h.How == "estimated":
		return fmt.Sprintf("%s in the last second, so about %s outside; they go on trying.",
			words.Count(h.Clients, "refusal"), waitOutside(rounded(h.Clients)))
	case h.Longest > 0:
		return fmt.Sprintf("%s outside, the longest for %s or more; they go on trying.", waitOutside(h.Clients), words.Duration(h.Longest))
	default:
		return waitOutside(h.Clients) + " outside; they go on trying."
	}
}

// rounded has two digits: an estimate is no more exact.
func rounded(n int) int {
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}

func waitOutside(clients int) string {
	if clients == 1 {
		return "1 client waits"
	}
	return fmt.Sprintf("%d clients wait", clients)
}

// pace compares what comes with what is accepted. It may find nothing.
func (j *judgement) pace(row, worst *Row) (none Finding) {
	if row.Accepts == nil || j.r.Sampled < time.Second/2 {
		return none
	}
	if *row.Accepts == 0 {
		return j.notAccepting(row)
	}
	if full := fullMembers(row); len(full) < len(row.Members) {
		return j.slowMember(row, full)
	}
	refused := float64(row.Dropped) / j.r.Sampled.Seconds()
	if refused == 0 || row.Full < j.watched(row)/2 {
		return none
	}
	f := found(Critical, row, "too-slow", fmt.Sprintf("%s accepts %s/s, while about %s/s try, retries included: it is too slow.",
		who(row), words.Rate(*row.Accepts), words.Rate(*row.Arrivals+refused)))
	if n := j.larger(row, worst); n > 0 {
		gain := float64(n-worst.Limit) / (*row.Arrivals + refused - *row.Accepts)
		f.Lines = append(f.Lines, fmt.Sprintf("While that goes on no backlog is enough: one of %d would be full %s later, or somewhat more as retries count here.",
			n, words.Duration(time.Duration(min(gain, 1e9)*float64(time.Second)))))
	}
	return f
}

func (j *judgement) notAccepting(row *Row) Finding {
	f := found(Critical, row, "not-accepting", j.nothingAccepted(row), "A larger backlog lets more clients wait for it, which helps only if it goes on soon.")
	f.Try = []string{"backlogprobe top " + j.target(row)}
	return f
}

func (j *judgement) nothingAccepted(row *Row) string {
	line := fmt.Sprintf("%s accepted nothing %s", who(row), j.during())
	if stopped(row) {
		return line + ": it is stopped, by a signal or a debugger."
	}
	return line + ": it is blocked, too busy, or out of descriptors."
}

// who is the owner in a sentence.
func who(row *Row) string {
	switch len(row.Owners) {
	case 0:
		return "The server"
	case 1:
		return fmt.Sprintf("%s[%d]", row.Owners[0].Command, row.Owners[0].PID)
	}
	return "The server " + row.Owners[0].Command
}

// fullAtTimes is about a queue that has room at this moment: a server that is too
// slow makes some with every accept.
func (j *judgement) fullAtTimes(row, worst *Row) {
	watched := j.watched(row)
	line := fmt.Sprintf("Full %s in %s, for %s in all, with room at this moment.",
		words.Count(row.Fulls, "time"), words.Duration(watched), words.Duration(row.Full))
	f := found(Warning, row, "full-unseen", line)
	mostly := row.Full > watched/2
	switch {
	case mostly:
		f.Severity, f.Code = Critical, "full-mostly"
	case row.Full > 0:
		f.Lines[0] += fmt.Sprintf(" A single look, as ss takes, misses it %d times in 100.", min(int(100*(1-row.Full.Seconds()/watched.Seconds())+0.5), 99))
	}
	if row.Hurt != nil && row.Hurt.Clients > 0 {
		f.Lines = append(f.Lines, j.refused(row))
	}
	if row.Port != 0 { // advise can't watch a unix socket
		f.Try = []string{"backlogprobe advise " + j.target(row)}
	}
	j.add(f)
	if pace := j.pace(row, worst); mostly && pace.Lines != nil {
		j.add(pace)
	}
}

// refusing is about a listener that refused, though no sample saw it full.
func (j *judgement) refusing(row *Row, n *Namespace) {
	line := words.Count(int(row.Dropped), "refusal") + " " + j.during() + ", though no sample saw the queue full"
	switch overflows := int64(n.Delta["TcpExtListenOverflows"]); {
	case overflows == 0:
		line += ": the accept queue is not what refused them."
	case overflows > j.dropped(row.Netns)-int64(row.Dropped) && !j.r.filtered: // the others don't explain them
		line += ": it is full for shorter than the " + words.Duration(j.r.Interval) + " between samples."
	default:
		line += ": it may be full for shorter than the " + words.Duration(j.r.Interval) + " between samples."
	}
	f := found(Warning, row, "refusing", line)
	f.Try = []string{j.explain(row)}
	j.add(f)
}

// finalACKs tells of clients that believe they are connected. A refused final
// ACK counts twice for the listener but once for the namespace, and its
// handshake stays, with the SYN-ACK sent again.
func (j *judgement) finalACKs(row *Row, n *Namespace) {
	stuck := 0
	if row.Hurt != nil && row.Hurt.How == "captured" {
		stuck = row.Hurt.FinalACKs
	} else if surplus := j.dropped(row.Netns) - int64(n.Delta["TcpExtListenDrops"]); j.r.Sampled > 0 && row.Dropped > 0 && surplus > int64(row.Dropped)/20 {
		stuck = row.resent
	}
	if stuck == 0 {
		return
	}
	f := found(Warning, row, "final-ack", fmt.Sprintf("Of about %s the final ACK was refused: these clients believe that they are connected, and wait for an answer.",
		words.Count(stuck, "handshake")))
	f.Try = []string{j.explain(row)}
	j.add(f)
}

// dropped is what all listeners of a namespace refused.
func (j *judgement) dropped(netns string) (sum int64) {
	for _, row := range j.r.Listeners {
		if row.Netns == netns {
			sum += int64(row.Dropped)
		}
	}
	return sum
}

func (j *judgement) target(row *Row) string { return j.r.Target(row) }

func (j *judgement) explain(row *Row) string {
	return fmt.Sprintf("backlogprobe explain --live any --for 10s :%d", row.Port) + netnsFlag(row.Netns)
}

// Target is the filter that selects a row of the report, as it is typed.
func (r *Report) Target(row *Row) string {
	filter := row.Local
	if row.Port != 0 {
		filter = fmt.Sprintf(":%d", row.Port)
		for _, other := range r.Listeners {
			if other.Port == row.Port && other.Netns == row.Netns && other.Local != row.Local {
				filter = "src " + row.Local
			}
		}
	}
	if strings.ContainsAny(filter, "[*") { // for the shell
		filter = "'" + filter + "'"
	}
	return filter + netnsFlag(row.Netns)
}

func netnsFlag(name string) string {
	if name == host {
		return ""
	}
	if pid, ok := strings.CutPrefix(name, "pid:"); ok {
		name, _, _ = strings.Cut(pid, "(")
	}
	return " -N " + name
}
