package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown is a table of the last run that came to its end.
func markdown(t Table, runs []*Run) string {
	var b strings.Builder
	last, broken := runs[len(runs)-1], ""
	for _, r := range slices.Backward(runs) {
		if r.Broken == "" {
			last = r
			break
		}
		broken = r.Broken
	}
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
	if broken != "" {
		fmt.Fprintf(&b, "\nA run ended early: %s\n", strings.ReplaceAll(strings.TrimSpace(broken), "\n", " "))
	}
	return b.String()
}

func loadRows(b *strings.Builder, t Table, r *Run) {
	fmt.Fprintf(b, "| server | CPU, µs | × %s | a second | p50 | p99 | errors |\n|---|---|---|---|---|---|---|\n", t.Servers[0])
	for _, name := range t.Servers {
		if !slices.ContainsFunc(r.Windows, func(w Window) bool { return w.Server == name }) {
			continue
		}
		if !slices.ContainsFunc(r.Windows, func(w Window) bool { return w.Server == name && w.counts() }) {
			fmt.Fprintf(b, "| %s | – | – | – | – | – | %s |\n", name, failures(r, name))
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

// few is less than what a 99th percentile, or a mean of CPU times, should be made of.
const few = 400

// counts reports whether a window has a say.
func (w Window) counts() bool { return w.Done >= few }

// remarks says what speaks against the figures.
func remarks(b *strings.Builder, r *Run) {
	var noise, small, late, done int
	for _, w := range r.Windows {
		if w.Noise+w.Stolen >= noisy {
			noise++
		}
		if !w.counts() {
			small++
		}
		late += w.Late
		done += w.Done
	}
	if noise > 0 {
		fmt.Fprintf(b, "\n%d of %d windows were noisy: others took more than %.0f %% of a CPU.\n", noise, len(r.Windows), noisy*100)
	}
	if small > 0 {
		fmt.Fprintf(b, "\n%d of %d windows had fewer than %d connections, and have no say.\n", small, len(r.Windows), few)
	}
	if late > 0 {
		fmt.Fprintf(b, "\nThe client began %d of %d more than a millisecond late, which counts as latency.\n", late, done)
	}
}

// insert replaces what stands between the markers of name, "<!-- bench: NAME -->" and
// "<!-- /bench -->".
func insert(document, name, text string) (string, error) {
	old, err := between(document, name)
	if err != nil {
		return "", err
	}
	begin := marker(name)
	return strings.Replace(document, begin+old+end, begin+"\n"+strings.TrimSpace(text)+"\n\n"+end, 1), nil
}

const end = "<!-- /bench -->"

func marker(name string) string { return "<!-- bench: " + name + " -->\n" }

func between(document, name string) (string, error) {
	_, rest, ok := strings.Cut(document, marker(name))
	if !ok {
		return "", fmt.Errorf("there is no line %q", strings.TrimSpace(marker(name)))
	}
	text, _, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("no %q follows %q", end, strings.TrimSpace(marker(name)))
	}
	return text, nil
}
