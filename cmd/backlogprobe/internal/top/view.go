package top

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

// The least that a screen needs.
const minWidth, minHeight = 40, 10

// View is of tea.Model.
func (m model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	return v
}

// screen is at most height lines, each at most width cells.
func (m model) screen() []string {
	if m.width < minWidth || m.height < minHeight {
		small := []string{fmt.Sprintf("too small: %dx%d is needed", minWidth, minHeight), "q quits"}
		return m.fit(small, m.height)
	}
	const around = 3 // heading, note, hints
	var body []string
	switch room := m.height - around; {
	case m.help:
		body = m.helpPage()
	case m.report == nil:
		body = []string{"", " looking at the listeners " + m.dots()}
	case m.detail:
		body = m.detailPage(room)
	default:
		body = m.tablePage(room)
	}
	body = m.fit(body, m.height-around)
	for len(body) < m.height-around {
		body = append(body, "")
	}
	return m.fit(append(append([]string{m.heading()}, body...), m.noteLine(), m.hints()), m.height)
}

// fit cuts lines to the screen.
func (m model) fit(lines []string, height int) []string {
	lines = lines[:max(min(len(lines), height), 0)]
	for i, l := range lines {
		lines[i] = m.style.Cut(l, m.width)
	}
	return lines
}

// text makes a name or sentence fit to be shown.
func (m model) text(s string) string {
	s = terminal.Clean(s)
	if !m.style.ASCII {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r > unicode7 {
			return '?'
		}
		return r
	}, s)
}

const unicode7 = 0x7e // the last printable ASCII character

func (m model) dots() string {
	if m.style.ASCII {
		return "..."
	}
	return "…"
}

// wrap breaks a sentence into lines that fit beside a mark and a margin.
func (m model) wrap(s string) []string {
	return terminal.Wrap(m.text(s), m.width-6)
}

// flow puts parts side by side, and below where they don't fit.
func (m model) flow(parts ...string) (lines []string) {
	const between = "   "
	line := ""
	for _, p := range parts {
		if line != "" && terminal.Cells(line)+len(between)+terminal.Cells(p) >= m.width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += between + p
		} else {
			line = " " + p
		}
	}
	return append(lines, line)
}

func (m model) heading() string {
	parts := []string{m.style.Bold("backlogprobe top")}
	if m.given != "" {
		parts[0] += " " + m.text(m.given)
	}
	if m.paused {
		parts = append(parts, m.style.Warn("PAUSED"))
	}
	if r := m.report; r != nil {
		parts = append(parts, r.Time.Format(time.TimeOnly))
		if r.Interval > 0 {
			parts = append(parts, fmt.Sprintf("%.0f Hz", 1/r.Interval.Seconds()))
		}
		parts = append(parts, m.namespaces(r)...)
	}
	return strings.Join(parts, "  ")
}

// namespaces is what the heading says of them.
func (m model) namespaces(r *survey.Report) (parts []string) {
	if len(r.Namespaces) > 1 {
		parts = append(parts, fmt.Sprintf("%d namespaces", len(r.Namespaces)))
	}
	var drops uint64
	known := false
	for _, n := range r.Namespaces {
		d, ok := n.Delta["TcpExtListenDrops"]
		drops += d
		known = known || ok
		if len(r.Namespaces) == 1 && n.Sysctls.Somaxconn >= 0 {
			parts = append(parts, fmt.Sprintf("somaxconn %d", n.Sysctls.Somaxconn))
		}
	}
	if !known || r.Sampled <= 0 {
		return parts
	}
	perSecond := float64(drops) / r.Sampled.Seconds()
	text := fmt.Sprintf("ListenDrops +%.0f/s", perSecond)
	if drops > 0 {
		text = m.style.Warn(text)
	}
	return append(parts, text)
}

// noteLine is the last but one: what went wrong, was done, or is hidden.
func (m model) noteLine() string {
	switch {
	case m.typing:
		return " filter: " + m.text(m.typed) + "_"
	case m.err != nil:
		return m.style.Bad(" " + m.style.Mark(terminal.Critical) + " can't look, trying again: " + m.text(m.err.Error()))
	case m.note != "":
		return " " + m.text(m.note)
	case m.report == nil:
		return ""
	}
	var parts []string
	if all := len(m.report.Listeners); len(m.rows) < all {
		parts = append(parts, fmt.Sprintf("%d of %d listeners", len(m.rows), all))
	}
	if m.dropsOnly {
		parts = append(parts, "only those with drops (d)")
	}
	if m.filter.text != "" {
		parts = append(parts, "filter "+m.text(m.filter.text)+" (/)")
	}
	for _, field := range []string{"owners", "namespaces"} {
		if why := m.report.UnknownWhy[field]; why != "" {
			parts = append(parts, m.text(why))
		}
	}
	return m.style.Dim(" " + strings.Join(parts, "; "))
}

// hints are the keys, as many as fit, the most wanted first.
func (m model) hints() string {
	keys := []string{"q quit", "h help", "Enter details", "s sort: " + m.order.String(), "/ filter", "space pause", "d drops only", "r reset peaks", "w write"}
	switch {
	case m.typing:
		keys = []string{"Enter apply", "Esc leave", "Ctrl-U clear", ":443, pid=12, comm=node, or any text"}
	case m.help:
		keys = []string{"any key goes back", "q quit"}
	case m.detail:
		keys = []string{"q quit", "h help", "Esc back", "j k next", "space pause", "r reset peaks", "w write"}
	}
	line := ""
	for _, k := range keys {
		if terminal.Cells(line)+2+len(k) > m.width {
			break
		}
		line += "  " + k
	}
	return m.style.Dim(strings.TrimPrefix(line, " "))
}
