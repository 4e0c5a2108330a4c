package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"onconn/internal/terminal"
)

// A Report is what a run found.
type Report struct {
	Mode      string  `json:"mode"`
	Seed      uint64  `json:"seed"`
	Workers   int     `json:"workers"`
	KeepAlive float64 `json:"keep_alive_share"`
	Migrate   bool    `json:"tcp_migrate_req"`
	Counts
	Seconds float64      `json:"seconds"`
	Events  map[Kind]int `json:"events"`
	Skipped int          `json:"events_skipped"` // no worker would have been left
	Failed  []string     `json:"failed_operations"`

	Losses      map[Cause]map[string]int `json:"losses"` // by cause and kind
	Ended       int                      `json:"workers_ended"`
	Unexplained []*Loss                  `json:"unexplained"`
	Twice       []string                 `json:"handled_twice"`
	Bad         []string                 `json:"wrong_to_workers"`
	Sums        []string                 `json:"sums"` // that don't agree
	Latency     Latency                  `json:"latency"`
	Slowest     *Answer                  `json:"slowest"`

	// StoodStill says why the run was ended before its time, if it was.
	StoodStill string   `json:"stood_still,omitempty"`
	Last       []string `json:"last,omitempty"` // what happened in the seconds before

	Passed bool   `json:"passed"`
	Repeat string `json:"repeat"` // the command
}

// Latency is how long an answer took, the first one from the beginning of its
// connection.
type Latency struct {
	Median time.Duration `json:"p50_ns"`
	P99    time.Duration `json:"p99_ns"`
	P999   time.Duration `json:"p999_ns"`
	Worst  time.Duration `json:"worst_ns"`
	Over1s int64         `json:"over_1s"`
	// Away is the longest time in which a client didn't get to run: on a busy
	// machine no answer is seen meanwhile.
	Away time.Duration `json:"client_away_ns"`
}

// Rate is the connections of a second.
func (r *Report) Rate() float64 { return float64(r.Connections) / r.Seconds }

// Total is the number of events.
func (r *Report) Total() (n int) {
	for _, of := range r.Events {
		n += of
	}
	return n
}

func (r *Report) add(v verdict) {
	r.Losses, r.Unexplained = map[Cause]map[string]int{}, []*Loss{}
	for _, l := range v.losses {
		if r.Losses[l.Cause] == nil {
			r.Losses[l.Cause] = map[string]int{}
		}
		r.Losses[l.Cause][l.Kind]++
		if l.Cause == Unexplained {
			r.Unexplained = append(r.Unexplained, l)
		}
	}
	r.Twice, r.Bad, r.Sums = list(v.twice), list(v.bad), list(v.sums)
	r.Passed = len(r.Unexplained)+len(r.Twice)+len(r.Bad)+len(r.Sums) == 0
}

// list is an empty one in JSON, not null, where there is nothing.
func list(s []string) []string { return append([]string{}, s...) }

// maxDetail is how many losses are printed in full.
const maxDetail = 20

// Write prints the report.
func (r *Report) Write(w io.Writer, style terminal.Style) {
	fmt.Fprintf(w, "%s mode, seed %d, %d workers, keep-alive share %g%s\n", r.Mode, r.Seed, r.Workers, r.KeepAlive, r.migration())
	fmt.Fprintf(w, "%d connections and %d requests in %.1f s: %.0f connections/s\n", r.Connections, r.Requests, r.Seconds, r.Rate())
	fmt.Fprintf(w, "%d events: %s\n", r.Total(), counts(r.Events))
	if r.Skipped > 0 {
		fmt.Fprintf(w, "  %d more were left out: no worker would have been left for too long\n", r.Skipped)
	}
	for _, f := range first(r.Failed) {
		fmt.Fprintf(w, "  failed: %s\n", f)
	}
	l := r.Latency
	fmt.Fprintf(w, "time to an answer: median %v, p99 %v, p99.9 %v, worst %v; %d above 1 s; a client was away for up to %v\n",
		short(l.Median), short(l.P99), short(l.P999), short(l.Worst), l.Over1s, short(l.Away))
	fmt.Fprintf(w, "losses that are explained:\n")
	for _, cause := range []struct {
		of   Cause
		what string
	}{
		{InHand, fmt.Sprintf("a worker had them in hand when the script ended it (%d workers)", r.Ended)},
		{AtAKill, "accepted in the moment in which a worker was ended, before it could note them"},
		{AtASqueeze, "received in the moment in which the limit of descriptors was lowered"},
	} {
		if n := sum(r.Losses[cause.of]); n > 0 || cause.of == InHand {
			fmt.Fprintf(w, "  %d%s: %s\n", n, of(r.Losses[cause.of]), cause.what)
		}
	}
	r.writeFaults(w, style)
	fmt.Fprintf(w, "again: %s\n", r.Repeat)
}

func (r *Report) writeFaults(w io.Writer, style terminal.Style) {
	state, verdict := terminal.OK, "nothing unexplained, wrong, handled twice, refused or hanging"
	if !r.Passed {
		state = terminal.Critical
		verdict = fmt.Sprintf("%d unexplained losses%s, %d connections handled twice, %d wrong to workers, %d sums that don't agree",
			len(r.Unexplained), of(r.Losses[Unexplained]), len(r.Twice), len(r.Bad), len(r.Sums))
	}
	fmt.Fprintf(w, "%s %s\n", style.Mark(state), verdict)
	if r.StoodStill != "" {
		fmt.Fprintf(w, "  %s; what happened last:\n", r.StoodStill)
		for _, s := range r.Last[max(0, len(r.Last)-maxDetail):] {
			fmt.Fprintf(w, "    %s\n", s)
		}
	}
	for _, l := range r.Unexplained[:min(len(r.Unexplained), maxDetail)] {
		l.write(w)
	}
	for _, list := range [][]string{r.Twice, r.Bad, r.Sums} {
		for _, s := range first(list) {
			fmt.Fprintf(w, "  %s\n", s)
		}
	}
}

func (l *Loss) write(w io.Writer) {
	what := fmt.Sprintf("request %d", l.Request)
	if l.Idle {
		what = fmt.Sprintf("idle before request %d", l.Request)
	}
	fmt.Fprintf(w, "  %s: client %d, number %d, %s, from %s\n", l.Kind, l.Client, l.Number, what, l.Local)
	fmt.Fprintf(w, "    began %s, asked %s, ended %s; %s\n", l.Began.Format(clock), l.Asked.Format(clock), l.Ended.Format(clock), l.Detail)
	if len(l.Notes) == 0 {
		fmt.Fprintf(w, "    no worker noted it\n")
	}
	for _, n := range l.Notes {
		fmt.Fprintf(w, "    %s\n", n)
	}
	for _, n := range l.Near {
		fmt.Fprintf(w, "      %s\n", n)
	}
}

func (r *Report) migration() string {
	if r.Migrate {
		return ", net.ipv4.tcp_migrate_req=1"
	}
	return ""
}

// first are the first of a list, so that a fault that is everywhere can be read.
func first(list []string) []string { return list[:min(len(list), maxDetail)] }

func short(d time.Duration) time.Duration {
	if d > 100*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

func sum[K comparable](m map[K]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// counts lists numbers by name: "3 kill, 1 stop".
func counts[K ~string](m map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(parts, ", ")
}

// of is counts in brackets, if there are any.
func of[K ~string](m map[K]int) string {
	if len(m) == 0 {
		return ""
	}
	return " (" + counts(m) + ")"
}
