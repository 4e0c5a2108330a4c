package schedview

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"onconn/internal/sched"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// A column is a figure of a way: its head, its width in cells, what it says.
type column struct {
	head  string
	cells int
	value func(sched.Figures) string
}

var (
	jain      = column{"Jain", 6, func(f sched.Figures) string { return fmt.Sprintf("%.3f", f.Jain) }}
	maxOfMean = column{"max/mean", 9, func(f sched.Figures) string { return fmt.Sprintf("%.2f", f.MaxOfMean) }}
	deviation = column{"std.dev", 8, func(f sched.Figures) string { return fmt.Sprintf("%.1f", f.Deviation) }}
	average   = column{"mean", 8, func(f sched.Figures) string { return sched.Latency(f.Mean) }}
	p50       = column{"p50", 8, func(f sched.Figures) string { return sched.Latency(f.P50) }}
	p97       = column{"p97", 8, func(f sched.Figures) string { return sched.Latency(f.P97) }}
	p99       = column{"p99", 8, func(f sched.Figures) string { return sched.Latency(f.P99) }}
	p99Hung   = column{"p99 hung", 9, p99.value}
	most      = column{"max", 8, func(f sched.Figures) string { return sched.Latency(f.Max) }}
	calls     = column{"calls", 7, func(f sched.Figures) string {
		if f.Calls == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f", f.Calls)
	}}
)

const (
	nameCells = 10
	barCells  = 25
)

// WriteText writes tables with bars, and what there is to say of them.
func WriteText(w io.Writer, s terminal.Style, r *sched.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, Linux %s, seed %d, %s\n", words.Count(r.Workers, "worker"), words.Count(r.CPUs, "CPU"), r.Kernel, r.Seed,
		words.Count(r.Repeat, "run"))
	predictions := r.Predictions()
	detailed := len(r.Cases) > 0 && slices.ContainsFunc(sched.Hermes(r.CPUs), func(c sched.Case) bool { return c.Name == r.Cases[0].Name })
	for _, t := range tables(r) {
		writeTable(&b, s, t, detailed)
	}
	if r.Repeat > 1 {
		b.WriteString("\nEach figure is the median of the runs for itself.\n")
	}
	for _, p := range predictions {
		writePrediction(&b, s, p)
	}
	if len(r.Cases) > 0 {
		b.WriteByte('\n')
		for _, w := range r.Cases[0].Ways {
			b.WriteString(s.Dim(terminal.Pad(string(w.Way), nameCells)+w.Way.Explain()) + "\n")
		}
	}
	for _, line := range remarks(r) {
		b.WriteByte('\n')
		writeWrapped(&b, s, "", line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTable(b *strings.Builder, s terminal.Style, t table, detailed bool) {
	columns := []column{jain, maxOfMean, p50, p99, calls}
	bars := barCells
	switch {
	case detailed:
		columns = []column{deviation, average, p50, p97, p99, most}
		bars = barCells - 5
	case t.hung != nil:
		columns[len(columns)-1] = p99Hung
	}
	fmt.Fprintf(b, "\n%s  %s\n", s.Bold(t.Name), t.Title)
	heading := "connections per worker"
	if bars < barCells {
		heading = "connections"
	}
	head := terminal.Pad("way", nameCells) + terminal.Pad(heading, bars)
	for _, c := range columns {
		head += terminal.Pad(c.head, -c.cells)
	}
	b.WriteString(s.Dim(head) + "\n")
	for i, w := range t.Ways {
		line := terminal.Pad(string(w.Way), nameCells) + terminal.Pad(shares(s, w.Ranked(), bars-1), bars)
		for _, c := range columns {
			f := w.Median
			if c.head == p99Hung.head {
				f = t.hung.Ways[i].Median
			}
			line += terminal.Pad(c.value(f), -c.cells)
		}
		b.WriteString(line + "\n")
		if trouble := trouble(w); trouble != "" {
			b.WriteString(terminal.Pad("", nameCells) + s.Paint(terminal.Critical, s.Mark(terminal.Critical)+" "+trouble) + "\n")
		}
	}
}

// trouble says which connections went wrong.
func trouble(w sched.WayReport) string {
	failed, silent, first := 0, 0, ""
	for _, r := range w.Runs {
		failed += r.Failed
		silent += r.Silent
		if first == "" {
			first = r.Failure
		}
	}
	switch {
	case failed > 0:
		return fmt.Sprintf("%d failed, the first by: %s", failed, terminal.Clean(first))
	case silent > 0:
		return fmt.Sprintf("%d were never answered", silent)
	}
	return ""
}

// shares draws a bar for each worker, the fullest first. Together they are as
// long whatever the shares.
func shares(s terminal.Style, ranked []float64, cells int) string {
	n := len(ranked)
	if n > 8 { // too short to tell them apart
		return s.Spark(ranked, 0)
	}
	room := float64(cells - (n - 1) - n) // a nothing takes a cell, too
	bars := make([]string, n)
	for i, part := range ranked {
		bars[i] = segment(s, part*room)
	}
	return strings.Join(bars, " ")
}

var eighths = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// segment is a bar of a length in cells.
func segment(s terminal.Style, cells float64) string {
	if s.ASCII {
		if n := int(math.Round(cells)); n > 0 {
			return strings.Repeat("#", n)
		}
		if cells > 0 {
			return ":"
		}
		return "."
	}
	n := int(math.Round(cells * 8))
	if n == 0 && cells > 0 {
		n = 1
	}
	if n == 0 {
		return "·"
	}
	return strings.Repeat("█", n/8) + eighths[n%8]
}

func writePrediction(b *strings.Builder, s terminal.Style, p sched.Prediction) {
	verdict := s.Good("held")
	if !p.Held() {
		verdict = s.Bad("missed")
	}
	fmt.Fprintf(b, "\nPrediction %d (%s): %s\n", p.Number, p.Case, verdict)
	for _, c := range p.Claims {
		mark := terminal.OK
		if !c.Held {
			mark = terminal.Critical
		}
		writeWrapped(b, s, "  "+s.Paint(mark, terminal.Pad(s.Mark(mark), 3)), c.Claim+": "+c.Measured)
	}
}

// writeWrapped writes lines that begin with a mark, or are indented like that.
func writeWrapped(b *strings.Builder, s terminal.Style, mark, text string) {
	indent := terminal.Cells(mark)
	for i, line := range terminal.Wrap(text, min(s.Width, 80)-indent) {
		if i > 0 {
			mark = strings.Repeat(" ", indent)
		}
		b.WriteString(mark + line + "\n")
	}
}
