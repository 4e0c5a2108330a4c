package main

import (
	"fmt"
	"slices"
	"strings"
)

// A verdict is a line of the table of all bounds.
type verdict struct{ table, line string }

// verdicts says of all bounds what each run has, and whether it holds.
func verdicts(tables []Table, runs map[string][]*Run) (lines []verdict) {
	for _, t := range tables {
		for _, bound := range t.Bounds {
			values, holds := bound.judge(runs[t.Name])
			atMost := fmt.Sprintf("%.2f", bound.AtMost)
			switch {
			case bound.AtMost == 0:
				atMost = "–"
			case bound.What == Bytes:
				atMost = fmt.Sprintf("%.0f more", bound.AtMost)
			}
			lines = append(lines, verdict{t.Name, fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |\n",
				t.Name, bound.Ours, bound.Theirs, bound.What, atMost, strings.Join(values, ", "), holds)})
		}
	}
	return lines
}

// judge gives the value of each run, and the word for all of them.
func (bound Bound) judge(runs []*Run) (values []string, holds string) {
	held, measured, errors := 0, 0, false
	for _, r := range runs {
		s, ok := bound.value(r)
		if !ok {
			values = append(values, "–")
			continue
		}
		switch bound.What {
		case Bytes:
			values = append(values, fmt.Sprintf("%.0f", s.Median))
		case Memory:
			values = append(values, fmt.Sprintf("%.2f", s.Median))
		default:
			values = append(values, s.format(2))
		}
		measured++
		if s.Median <= bound.AtMost {
			held++
		}
		errors = errors || slices.ContainsFunc(r.Windows, func(w Window) bool {
			return len(w.Failed) > 0 && (w.Server == bound.Ours || w.Server == bound.Theirs)
		})
	}
	switch {
	case measured == 0:
		return values, "not measured"
	case bound.AtMost == 0:
		holds = "reported"
	case held == 0:
		holds = "**no**"
	case held < len(runs):
		holds = fmt.Sprintf("**in %d of %d**", held, len(runs))
	default:
		holds = "yes"
	}
	if errors {
		holds += ", **with errors**"
	}
	return values, holds
}

// value is what a run has for a bound, and whether it has anything.
func (bound Bound) value(r *Run) (s Spread, ok bool) {
	if r.Broken != "" {
		return s, false
	}
	switch bound.What {
	case CPU:
		s = ratios(r.Windows, bound.Ours, bound.Theirs, cpu)
	case P99:
		s = ratios(r.Windows, bound.Ours, bound.Theirs, p99)
	case Bytes, Memory:
		ours, theirs := spread(r.Bytes[bound.Ours]), spread(r.Bytes[bound.Theirs])
		if len(r.Bytes[bound.Ours]) == 0 || len(r.Bytes[bound.Theirs]) == 0 {
			return s, false
		}
		s.Median = ours.Median - theirs.Median
		if bound.What == Memory {
			s.Median = ours.Median / theirs.Median
		}
		return s, true
	}
	return s, s.Median > 0
}

// kept puts new lines in the place of those that an old table has of the same loads. The
// others stay: not all need be measured at once.
func kept(old string, lines []verdict) (all []verdict) {
	for _, t := range tables {
		mine := func(v verdict) bool { return v.table == t.Name }
		if slices.ContainsFunc(lines, mine) {
			for _, v := range lines {
				if mine(v) {
					all = append(all, v)
				}
			}
			continue
		}
		for line := range strings.Lines(old) {
			if strings.HasPrefix(line, "| "+t.Name+" |") {
				all = append(all, verdict{t.Name, line})
			}
		}
	}
	return all
}

func verdictTable(lines []verdict) string {
	var b strings.Builder
	b.WriteString("| load | ours | against | what | at most | measured, run by run | holds |\n|---|---|---|---|---|---|---|\n")
	for _, v := range lines {
		b.WriteString(v.line)
	}
	return b.String()
}
