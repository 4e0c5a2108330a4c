package top

import (
	"strconv"
	"strings"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/cmd/backlogprobe/internal/view"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// A column of the table. The widths of the last two, which hold names, depend on
// what is there.
type column struct {
	title string
	width int // in cells; flush right
	least int // width of a screen that shows it
	value func(survey.Row) string
}

func (m model) columns() []column {
	return []column{
		{"Recv-Q", 6, 0, func(r survey.Row) string { return strconv.Itoa(r.Worst().Depth) }},
		{"Send-Q", 6, 0, func(r survey.Row) string { return strconv.Itoa(r.Worst().Limit) }},
		{"Peak", 5, 50, func(r survey.Row) string { return strconv.Itoa(r.Peak) }},
		{"Full", 4, 68, func(r survey.Row) string { return words.Percent(fill(r.Peak, r)) }},
		{"Drops", 6, 0, func(r survey.Row) string { return strconv.Itoa(int(r.Drops)) }},
		{"Drops+", 6, 101, func(r survey.Row) string { return strconv.Itoa(int(r.Dropped)) }},
		{"SynQ", 4, 86, func(r survey.Row) string { return strconv.Itoa(r.HalfOpen) }},
		{"Conn/s", 6, 76, func(r survey.Row) string { return rate(r.Accepts) }},
		{"Wait", 5, 60, oldestWait},
	}
}

// tablePage is the table, the selected row in view, and what is to say about it.
func (m model) tablePage(room int) []string {
	about := m.findings(min(room/4, 5))
	names := m.nameWidths()
	lines := []string{m.style.Bold(m.line("  ", names, func(c column) string { return c.title }, "Local Address:Port", "Process"))}
	visible := room - 1
	if len(about) > 0 {
		visible -= len(about) + 1
	}
	first := max(m.index()-visible+1, 0)
	for i, r := range m.rows[first:] {
		if i >= visible {
			break
		}
		lines = append(lines, m.rowLine(r, names))
	}
	if len(m.rows) == 0 {
		lines = append(lines, m.nothing()...)
	}
	for len(lines) < room-len(about) {
		lines = append(lines, "")
	}
	return append(lines, about...)
}

func (m model) nothing() []string {
	if len(m.report.Listeners) > 0 {
		return []string{"  no listener is like that: d and / change what is shown"}
	}
	return []string{"  nobody listens here"}
}

// page is how far PgUp and PgDn move.
func (m model) page() int { return max(m.height-10, 1) }

// nameWidths are the widths of the address and of the process, which is 0 where
// there is no room for one.
func (m model) nameWidths() (names [2]int) {
	used := 2
	for _, c := range m.columns() {
		if m.width >= c.least {
			used += c.width + 1
		}
	}
	room := m.width - used
	names[0] = len("Local Address:Port")
	for _, r := range m.rows {
		names[0] = max(names[0], terminal.Cells(m.local(r)))
	}
	const process = 11 // node[27605]
	switch {
	case room-names[0]-1 >= process:
	case room-process-1 >= len("Local Address:Port"):
		names[0] = room - process - 1
	default:
		names[0] = room - 1
		return names
	}
	names[1] = room - names[0] - 1
	return names
}

func (m model) local(r survey.Row) string {
	if len(m.report.Namespaces) > 1 {
		return m.text(r.Netns + " " + r.Local)
	}
	return m.text(r.Local)
}

// line lays out a row: the mark, the queue, the address as ss has it, the rest.
func (m model) line(mark string, names [2]int, value func(column) string, local, process string) string {
	var b strings.Builder
	b.WriteString(mark)
	for i, c := range m.columns() {
		if m.width >= c.least {
			b.WriteString(terminal.Pad(value(c), -c.width) + " ")
		}
		if i == 1 {
			b.WriteString(terminal.Pad(m.style.Cut(local, names[0]), names[0]) + " ")
		}
	}
	return b.String() + m.style.Cut(process, names[1])
}

// rowLine has its state as a mark and a colour. The selected one is pointed at.
func (m model) rowLine(r survey.Row, names [2]int) string {
	state := worst(m.report.Findings, r)
	mark := " "
	if state != survey.OK {
		mark = terminal.Style{ASCII: m.style.ASCII}.Mark(terminal.State(state))
	}
	pointer := " "
	if keyOf(r) == m.selected {
		pointer = ">"
	}
	line := m.line(pointer+mark, names, func(c column) string { return c.value(r) }, m.local(r), m.text(view.Processes(&r, m.style, m.width > 100)))
	if pointer != " " && m.style.Colour {
		return "\x1b[7m" + terminal.Pad(line, m.width) + "\x1b[0m"
	}
	return m.style.Paint(terminal.State(state), line)
}

// findings is what is to say about the selected row, and about its namespace, in
// so many lines.
func (m model) findings(most int) (lines []string) {
	r, ok := m.row()
	if !ok {
		return nil
	}
	about := of(m.report.Findings, r)
	about = append(about, of(m.report.Findings, survey.Row{Netns: r.Netns})...)
	for _, f := range about {
		mark := m.style.Mark(terminal.State(f.Severity)) + " "
		for _, sentence := range f.Lines {
			for _, l := range m.wrap(sentence) {
				lines = append(lines, mark+strings.TrimPrefix(l, "  "))
				mark = "  "
			}
		}
		for _, try := range f.Try {
			lines = append(lines, "  try  "+m.text(try))
		}
	}
	return lines[:min(len(lines), most)]
}
