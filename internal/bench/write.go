package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown is a table of the last run, and what all runs say to its bounds.
func markdown(t Table, runs []*Run) string {
	var b strings.Builder
	last := runs[len(runs)-1]
	fmt.Fprintf(&b, "**%s**", t.Title)
	if t.Half {
		fmt.Fprintf(&b, " (%.0f/s)", last.Rate)
	}
	b.WriteString("\n\n")
	if t.Memory {
		memoryRows(&b, t, last)
	} else {
		loadRows(&b, t, last)
	}
	for _, name := range t.Servers {
		if why, ok := last.Missing[name]; ok {
			fmt.Fprintf(&b, "\nNot measured: %s (%s).\n", name, why)
		}
	}
	remarks(&b, last)
	return b.String()
}

func loadRows(b *strings.Builder, t Table, r *Run) {
	fmt.Fprintf(b, "| server | CPU, µs | × %s | a second | p50 | p99 | errors |\n|---|---|---|---|---|---|---|\n", t.Servers[0])
	for _, name := range t.Servers {
		if !slices.ContainsFunc(r.Windows, func(w Window) bool { return w.Server == name }) {
			continue
		}
		ms := func(f func(Window) time.Duration) string {
			return fmt.Sprintf("%.2f ms", of(r.Windows, name, func(w Window) float64 { return f(w).Seconds() * 1e3 }).Median)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %.0f | %s | %s | %s |\n", name,
			of(r.Windows, name, cpu).format(1), ratios(r.Windows, name, t.Servers[0], cpu).format(2),
			of(r.Windows, name, func(w Window) float64 { return w.PerSecond }).Median,
			ms(func(w Window) time.Duration { return w.P50 }), ms(func(w Window) time.Duration { return w.P99 }),
			failures(r, name))
	}
}

func memoryRows(b *strings.Builder, t Table, r *Run) {
	b.WriteString("| server | bytes for a connection |\n|---|---|\n")
	for _, name := range t.Servers {
		if v := r.Bytes[name]; len(v) > 0 {
			fmt.Fprintf(b, "| %s | %s |\n", name, spread(v).format(0))
		}
	}
}

func cpu(w Window) float64 { return w.CPU }
func p99(w Window) float64 { return w.P99.Seconds() }

func failures(r *Run, server string) string {
	kinds, done := map[string]int{}, 0
	for _, w := range r.Windows {
		if w.Server == server {
			done += w.Done
			for k, n := range w.Failed {
				kinds[k] += n
			}
		}
	}
	if len(kinds) == 0 {
		return "0"
	}
	var all []string
	for k, n := range kinds {
		all = append(all, fmt.Sprintf("%d %s", n, k))
	}
	slices.Sort(all)
	return fmt.Sprintf("%s of %d", strings.Join(all, ", "), done)
}

// few is less than what a median or a 99th percentile should be made of.
const few = 400

// remarks says what speaks against the figures.
func remarks(b *strings.Builder, r *Run) {
	var noise, small, late, done int
	for _, w := range r.Windows {
		if w.Noise+w.Stolen >= noisy {
			noise++
		}
		if w.Done < few {
			small++
		}
		late += w.Late
		done += w.Done
	}
	if noise > 0 {
		fmt.Fprintf(b, "\n%d of %d windows were noisy: others took more than %.0f %% of a CPU.\n", noise, len(r.Windows), noisy*100)
	}
	if small > 0 {
		fmt.Fprintf(b, "\n%d of %d windows had fewer than %d connections.\n", small, len(r.Windows), few)
	}
	if late > 0 {
		fmt.Fprintf(b, "\nThe client began %d of %d more than a millisecond late, which counts as latency.\n", late, done)
	}
}

// value is what a run has for a bound, and whether it has anything.
func (bound Bound) value(r *Run) (Spread, bool) {
	var s Spread
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

// verdicts is the table of all bounds: what each run has, and whether it holds.
func verdicts(tables []Table, runs map[string][]*Run) string {
	var b strings.Builder
	b.WriteString("| load | ours | against | what | at most | measured, run by run | holds |\n|---|---|---|---|---|---|---|\n")
	for _, t := range tables {
		for _, bound := range t.Bounds {
			var values []string
			held, measured := 0, 0
			for _, r := range runs[t.Name] {
				s, ok := bound.value(r)
				switch {
				case !ok:
					values = append(values, "–")
					continue
				case bound.What == Bytes:
					values = append(values, fmt.Sprintf("%.0f", s.Median))
				case bound.What == Memory:
					values = append(values, fmt.Sprintf("%.2f", s.Median))
				default:
					values = append(values, s.format(2))
				}
				measured++
				if s.Median <= bound.AtMost {
					held++
				}
			}
			atMost, holds := fmt.Sprintf("%.2f", bound.AtMost), "yes"
			switch {
			case measured == 0:
				holds = "**not measured**"
			case bound.AtMost == 0:
				holds = "reported"
			case held == 0:
				holds = "**no**"
			case held < len(values):
				holds = fmt.Sprintf("**in %d of %d**", held, len(values))
			}
			switch {
			case bound.AtMost == 0:
				atMost = "–"
			case bound.What == Bytes:
				atMost = fmt.Sprintf("%.0f more", bound.AtMost)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", t.Name, bound.Ours, bound.Theirs, bound.What, atMost, strings.Join(values, ", "), holds)
		}
	}
	return b.String()
}

// insert replaces what stands between the markers of name, "<!-- bench: NAME -->" and
// "<!-- /bench -->".
func insert(document, name, text string) (string, error) {
	begin, end := "<!-- bench: "+name+" -->\n", "<!-- /bench -->"
	head, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", fmt.Errorf("there is no line %q", strings.TrimSpace(begin))
	}
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("no %q follows %q", end, strings.TrimSpace(begin))
	}
	return head + begin + "\n" + strings.TrimSpace(text) + "\n\n" + end + tail, nil
}
