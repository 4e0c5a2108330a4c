// Package nagios judges a report by thresholds, and says so as the plugins of
// Nagios do: a line with its performance data, details below, and an exit code.
package nagios

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// Code is an exit code of a plugin.
type Code int

const (
	OK Code = iota
	Warning
	Critical
	Unknown
)

func (c Code) String() string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[c]
}

// MarshalText is for JSON.
func (c Code) MarshalText() ([]byte, error) { return []byte(strings.ToLower(c.String())), nil }

// Thresholds say what is too much.
type Thresholds struct {
	WarnFill, CritFill float64 // percent of the capacity, at the peak
	MaxDrops, MaxHurt  int     // during the look; -1: any
	MinLimit           int
}

// A Result is a judgement.
type Result struct {
	Code    Code
	Summary string   // of the first line, without the word for the code
	Reasons []string // why it isn't OK
	Report  *survey.Report

	thresholds Thresholds
	bad        map[*survey.Row]bool
}

// MarshalJSON gives the report a status.
func (r *Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Schema  string         `json:"schema"`
		Status  Code           `json:"status"`
		Exit    int            `json:"exit_code"`
		Summary string         `json:"summary"`
		Reasons []string       `json:"reasons"`
		Report  *survey.Report `json:"report"`
	}{survey.Schema, r.Code, int(r.Code), r.Summary, append([]string{}, r.Reasons...), r.Report})
}

// Check judges the listeners of a report that a filter selected. With strict,
// what we may not see is UNKNOWN rather than OK.
func Check(report *survey.Report, t Thresholds, filter survey.Filter, strict bool) *Result {
	r := &Result{Report: report, thresholds: t, bad: map[*survey.Row]bool{}}
	if len(report.Listeners) == 0 {
		r.none(filter.String(), filter.ByOwner())
		return r
	}
	for i := range report.Listeners {
		r.listener(&report.Listeners[i])
	}
	if len(r.Reasons) > 0 {
		r.Summary = strings.Join(r.Reasons[:min(len(r.Reasons), 3)], "; ")
		if n := len(r.Reasons) - 3; n > 0 {
			r.Summary += fmt.Sprintf("; and %d more", n)
		}
		return r
	}
	if hidden := r.hidden(); strict && hidden != "" {
		r.Code, r.Summary = Unknown, hidden
		return r
	}
	fullest := slices.MaxFunc(report.Listeners, func(a, b survey.Row) int {
		return a.Peak*b.Worst().Capacity - b.Peak*a.Worst().Capacity
	})
	r.Summary = words.Count(len(report.Listeners), "listener") + ", fullest " + queue(&fullest)
	return r
}

// none is about a filter that nothing matches.
func (r *Result) none(filter string, byOwner bool) {
	switch hidden := r.hidden(); {
	case filter == "":
		r.Code, r.Summary = Unknown, "nothing listens here"
	case r.Report.UnknownWhy["namespaces"] != "", byOwner && hidden != "":
		r.Code, r.Summary = Unknown, "nothing that may be seen matches "+filter+"; "+hidden
	case byOwner:
		r.Code, r.Summary = Critical, "no listener matches "+filter
	default:
		r.Code, r.Summary = Critical, "nothing listens on "+filter
	}
}

// hidden is what we may not see.
func (r *Result) hidden() string {
	if why := r.Report.UnknownWhy["namespaces"]; why != "" {
		return why
	}
	return r.Report.UnknownWhy["owners"]
}

func (r *Result) add(row *survey.Row, c Code, format string, args ...any) {
	r.bad[row] = true
	r.Code = max(r.Code, c)
	r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
}

func (r *Result) listener(row *survey.Row) {
	worst := row.Worst()
	t := r.thresholds
	switch percent := 100 * float64(row.Peak) / float64(worst.Capacity); {
	case percent >= t.CritFill:
		r.add(row, Critical, "%s", queue(row))
	case percent >= t.WarnFill:
		r.add(row, Warning, "%s", queue(row))
	}
	if t.MaxDrops >= 0 && int64(row.Dropped) > int64(t.MaxDrops) {
		r.add(row, Critical, "%s refused %s in %s", row.Local, words.Count(int(row.Dropped), "packet"), words.Duration(r.Report.Sampled))
	}
	if t.MaxHurt >= 0 && row.Hurt != nil && row.Hurt.Clients > t.MaxHurt {
		about := ""
		if row.Hurt.How == "estimated" {
			about = "about "
		}
		r.add(row, Critical, "%s%s of %s outside", about, words.Count(row.Hurt.Clients, "client"), row.Local)
	}
	if worst.Limit < t.MinLimit {
		r.add(row, Critical, "%s has a backlog of %d, less than %d", row.Local, worst.Limit, t.MinLimit)
	}
}

// queue is how far a queue was filled.
func queue(row *survey.Row) string {
	worst := row.Worst()
	state := "peak"
	if worst.Depth >= worst.Capacity {
		state = "full"
	}
	return fmt.Sprintf("%s %s %d/%d (%s)", row.Local, state, row.Peak, worst.Capacity, words.Percent(float64(row.Peak)/float64(worst.Capacity)))
}

// Text is what a plugin prints: one line if all is well, and otherwise the
// findings below it.
func (r *Result) Text(details bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "BACKLOG %s - %s", r.Code, Line(r.Summary))
	if data := r.perfdata(); data != "" {
		fmt.Fprintf(&b, " | %s", data)
	}
	b.WriteByte('\n')
	if r.Code == OK || !details {
		return b.String()
	}
	for _, f := range r.Report.Findings {
		if !r.concerns(f) {
			continue
		}
		for _, line := range f.Lines {
			fmt.Fprintln(&b, strings.TrimSpace(Line(f.Local+" "+line)))
		}
		for _, t := range f.Try {
			fmt.Fprintln(&b, "  try: "+Line(t))
		}
	}
	return b.String()
}

// concerns reports whether a finding is about a listener that isn't OK.
func (r *Result) concerns(f survey.Finding) bool {
	for row := range r.bad {
		if row.Local == f.Local && row.Netns == f.Netns {
			return true
		}
	}
	return false
}

// Line makes a text fit for a line of a plugin, where "|" begins the data.
func Line(text string) string {
	return strings.ReplaceAll(terminal.Clean(strings.ReplaceAll(text, "\n", " ")), "|", "/")
}

// perfdata is 'label'=value;warn;crit;min;max for each listener.
func (r *Result) perfdata() string {
	var parts []string
	for i := range r.Report.Listeners {
		row := &r.Report.Listeners[i]
		capacity := row.Worst().Capacity
		label := r.label(row)
		parts = append(parts,
			fmt.Sprintf("'q%s'=%d;%d;%d;0;%d", label, row.Peak, part(r.thresholds.WarnFill, capacity), part(r.thresholds.CritFill, capacity), capacity),
			fmt.Sprintf("'drops%s'=%dc", label, row.Drops))
	}
	return strings.Join(parts, " ")
}

// part is a percentage of a capacity in connections.
func part(percent float64, capacity int) int {
	return int(math.Ceil(percent * float64(capacity) / 100))
}

// label is the port, or the address where several listeners have it.
func (r *Result) label(row *survey.Row) string {
	text := fmt.Sprintf(":%d", row.Port)
	if row.Port == 0 {
		text = "_" + row.Local
	}
	for _, other := range r.Report.Listeners {
		if other.Port == row.Port && (other.Local != row.Local || other.Netns != row.Netns) {
			text = "_" + row.Local
		}
	}
	if len(r.Report.Namespaces) > 1 {
		text = "_" + row.Netns + text
	}
	return strings.NewReplacer("'", "_", "=", "_").Replace(Line(text))
}
