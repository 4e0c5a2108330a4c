package schedview

import (
	"fmt"
	"strings"
	"time"

	"onconn/internal/sched"
	"onconn/internal/words"
)

// remarks are what the figures say in words, what was left out, and how far they
// are to be trusted.
func remarks(r *sched.Report) (lines []string) {
	for _, t := range tables(r) {
		if line := unevenness(t.CaseReport); line != "" {
			lines = append(lines, line)
		}
		lines = append(lines, tail(t.CaseReport))
		if t.hung != nil {
			lines = append(lines, tail(*t.hung))
		}
	}
	lines = append(lines, leftOut(r)...)
	if busy(r) {
		lines = append(lines, "Something else kept the CPUs busy: the clients themselves were late by more than what they measured. Repeat it when the machine is quiet.")
	}
	return append(lines, "Times count from when a connection was due, whatever the server did before; at p99 the clients were "+
		sched.Latency(late(r))+" late by themselves. Clients and workers share the CPUs. Load average before and after: "+
		strings.Join(r.Load[:], "; ")+".")
}

// leftOut says which ways are missing, and why.
func leftOut(r *sched.Report) (lines []string) {
	var reasons []string
	ways := map[string][]string{}
	for _, out := range r.LeftOut {
		if ways[out.Reason] == nil {
			reasons = append(reasons, out.Reason)
		}
		ways[out.Reason] = append(ways[out.Reason], string(out.Way))
	}
	for _, reason := range reasons {
		are := "is"
		if len(ways[reason]) > 1 {
			are = "are"
		}
		// What comes after the semicolon is for programmers.
		why, _, _ := strings.Cut(strings.TrimPrefix(reason, "steer: "), "; ")
		lines = append(lines, fmt.Sprintf("%s %s left out: %s.", strings.Join(ways[reason], " and "), are, why))
	}
	return lines
}

// unevenness names the most uneven way.
func unevenness(c sched.CaseReport) string {
	var worst sched.WayReport
	for _, w := range c.Ways {
		if worst.Way == "" || w.Median.Jain < worst.Median.Jain {
			worst = w
		}
	}
	ranked := worst.Ranked()
	if len(ranked) < 2 || worst.Median.MaxOfMean < 1.5 {
		return ""
	}
	return fmt.Sprintf("%s: with %s one of %d workers got %s of the connections.", c.Name, worst.Way, len(ranked), words.Percent(ranked[0]))
}

// tail names the ways with the shortest and the longest tail.
func tail(c sched.CaseReport) string {
	if len(c.Ways) == 0 {
		return ""
	}
	best, worst := c.Ways[0], c.Ways[0]
	for _, w := range c.Ways {
		if w.Median.P99 < best.Median.P99 {
			best = w
		}
		if w.Median.P99 > worst.Median.P99 {
			worst = w
		}
	}
	if best.Way == worst.Way {
		return fmt.Sprintf("%s: the p99 of %s is %s.", c.Name, best.Way, sched.Latency(best.Median.P99))
	}
	return fmt.Sprintf("%s: the best p99 is %s's, %s; the worst %s's, %s.", c.Name,
		best.Way, sched.Latency(best.Median.P99), worst.Way, sched.Latency(worst.Median.P99))
}

// busy reports whether clients were so late that the figures are about that.
func busy(r *sched.Report) bool {
	for _, c := range r.Cases {
		for _, w := range c.Ways {
			if w.Median.Late > max(w.Median.P99/2, 5*time.Millisecond) {
				return true
			}
		}
	}
	return false
}

// late is how late clients were at most.
func late(r *sched.Report) (most time.Duration) {
	for _, c := range r.Cases {
		for _, w := range c.Ways {
			most = max(most, w.Median.Late)
		}
	}
	return most
}
