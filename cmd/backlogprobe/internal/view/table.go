package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

// Options say how to lay out a report.
type Options struct {
	terminal.Style
	All      bool     // quiet listeners too
	NoHeader bool     // rows only
	SS       bool     // name processes as ss does
	Fields   []string // nil: the usual ones, as far as the width goes

	narrow bool // processes without their descriptors
}

// mostQuiet is how many quiet listeners are shown where all are.
const mostQuiet = 100

// Table writes the rows that are not quiet, or where all are some of them, and
// returns how many it left out.
func Table(w io.Writer, r *survey.Report, o Options) (hidden int) {
	marks := marks(r)
	var rows []*survey.Row
	for i := range r.Listeners {
		if row := &r.Listeners[i]; o.All || !row.Quiet() || marks[id(row)] != terminal.OK {
			rows = append(rows, row)
		}
	}
	hidden = len(r.Listeners) - len(rows)
	if len(rows) == 0 {
		for i := range min(len(r.Listeners), mostQuiet) {
			rows = append(rows, &r.Listeners[i])
		}
		hidden -= len(rows)
	}
	slices.SortStableFunc(rows, func(a, b *survey.Row) int { return severity[marks[id(b)]] - severity[marks[id(a)]] })
	layout(rows, len(r.Namespaces) > 1, &o).write(w, rows, marks)
	return hidden
}

// severity orders states by how early their rows come.
var severity = map[terminal.State]int{terminal.Critical: 2, terminal.Warning: 1}

// An id tells rows apart.
type rowID struct {
	netns, local string
}

func id(r *survey.Row) rowID { return rowID{r.Netns, r.Local} }

// marks is the worst that is said about each listener.
func marks(r *survey.Report) map[rowID]terminal.State {
	worst := map[rowID]terminal.State{}
	for _, f := range r.Findings {
		k := rowID{f.Netns, f.Local}
		if s := state(f.Severity); severity[s] > severity[worst[k]] {
			worst[k] = s
		}
	}
	return worst
}

func state(s survey.Severity) terminal.State {
	return map[survey.Severity]terminal.State{survey.Warning: terminal.Warning, survey.Critical: terminal.Critical, survey.Unknown: terminal.Unknown}[s]
}

// A grid is columns with their widths. The last is cut where the line is full.
type grid struct {
	o       *Options
	columns []column
	widths  []int
}

// enough is a width of the process column with which nothing else is left out.
const enough = 14

func layout(rows []*survey.Row, namespaces bool, o *Options) *grid {
	names := slices.Clone(o.Fields)
	if names == nil {
		names = slices.Clone(usual)
		if !namespaces {
			names = drop(names, "netns")
		}
	}
	g := &grid{o: o}
	for _, name := range append([]string{""}, less...) {
		if o.Fields == nil {
			names = drop(names, name)
		}
		g.columns, _ = choose(names) // checked when the flag was read
		for _, o.narrow = range []bool{false, true} {
			g.measure(rows)
			if o.Fields != nil || g.rest() >= g.widths[len(g.widths)-1] {
				break
			}
		}
		if o.Fields != nil || g.rest() >= min(g.widths[len(g.widths)-1], enough) {
			break
		}
	}
	last := &g.widths[len(g.widths)-1]
	*last = max(min(*last, g.rest()), 0)
	return g
}

// rest is the room for the last column.
func (g *grid) rest() int { return g.o.Width - g.total(len(g.widths)-1) - markWidth }

// markWidth is a space and a mark.
const markWidth = 2

func drop(names []string, name string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == name })
}

// measure makes each column as wide as its widest value.
func (g *grid) measure(rows []*survey.Row) {
	g.widths = make([]int, len(g.columns))
	for i, c := range g.columns {
		if !g.o.NoHeader {
			g.widths[i] = len(c.header)
		}
		for _, r := range rows {
			g.widths[i] = max(g.widths[i], terminal.Cells(c.value(r, g.o)))
		}
	}
}

// total is the width of the first n columns with the spaces behind them.
func (g *grid) total(n int) (sum int) {
	for _, w := range g.widths[:n] {
		sum += w + 1
	}
	return sum
}

func (g *grid) write(w io.Writer, rows []*survey.Row, marks map[rowID]terminal.State) {
	if !g.o.NoHeader {
		fmt.Fprintln(w, g.o.Bold(g.line(func(c column) string { return c.header })))
	}
	for _, r := range rows {
		line := g.line(func(c column) string { return c.value(r, g.o) })
		if s := marks[id(r)]; s != terminal.OK {
			line = g.o.Paint(s, g.pad(line)) + " " + g.o.Mark(s)
		}
		fmt.Fprintln(w, line)
	}
}

// line is one of the table, at most as wide as the terminal.
func (g *grid) line(value func(column) string) string {
	var b strings.Builder
	for i, c := range g.columns {
		width := g.widths[i]
		text := g.o.Cut(value(c), width)
		if c.right {
			width = -width
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(terminal.Pad(text, width))
	}
	return g.o.Cut(strings.TrimRight(b.String(), " "), g.o.Width-markWidth)
}

// pad fills a line so that the marks stand in a column.
func (g *grid) pad(line string) string {
	return terminal.Pad(line, min(g.total(len(g.widths))-1, g.o.Width-markWidth))
}
