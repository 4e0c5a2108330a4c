package top

import (
	"fmt"
	"strings"
	"time"

	"onconn/backlog"
	"onconn/internal/terminal"
)

const (
	plotSeconds = 60
	labelWidth  = 6 // of the values at the left
)

// plot draws the greatest depth of each of the last seconds, one or more columns
// a second, over a line that marks the seconds in which segments were dropped
// and one of the time.
func (m model) plot(history []backlog.Second, end time.Time, capacity, rows int) []string {
	cells := max(min((m.width-labelWidth-2)/plotSeconds, 4), 1)
	seconds := min(m.width-labelWidth-2, plotSeconds)
	columns := make([]backlog.Second, seconds)
	for _, s := range history {
		if ago := int(end.Sub(s.Start) / time.Second); ago >= 0 && ago < seconds {
			columns[seconds-1-ago] = s
		}
	}
	top := scale(columns, capacity)
	var lines []string
	for row := rows - 1; row >= 0; row-- {
		label := ""
		switch row {
		case rows - 1:
			label = fmt.Sprint(top)
		case 0:
			label = "0"
		}
		lines = append(lines, m.label(label)+m.plotRow(columns, top, rows, row, cells))
	}
	marks := ""
	for _, c := range columns {
		mark := " "
		if c.Dropped > 0 {
			mark = "x"
		}
		marks += terminal.Pad(mark, cells)
	}
	drops := m.label("drops") + m.style.Bad(strings.TrimRight(marks, " "))
	width := seconds * cells
	ago := fmt.Sprintf("%d s ago", seconds)
	when := strings.Repeat(" ", labelWidth+2) + ago + terminal.Pad("now", -(width-len(ago)))
	return append(lines, drops, m.style.Dim(when))
}

func (m model) label(text string) string {
	axis := "┤"
	if m.style.ASCII {
		axis = "|"
	}
	return terminal.Pad(text, -labelWidth) + " " + axis
}

// scale is the value at the top: what the queue holds, or less where that would
// show nothing but a line at the bottom.
func scale(columns []backlog.Second, capacity int) int {
	most := 1
	for _, c := range columns {
		most = max(most, c.Max)
	}
	if most > capacity/8 {
		return max(most, capacity)
	}
	top := 8
	for top < most {
		top *= 2
	}
	return min(top, max(capacity, 1))
}

// plotRow is one line of cells. Seconds with a full queue are coloured.
func (m model) plotRow(columns []backlog.Second, top, rows, row, cells int) string {
	steps := []rune(" ▁▂▃▄▅▆▇█")
	if m.style.ASCII {
		steps = []rune(" ...:::##")
	}
	var b strings.Builder
	for i := 0; i < len(columns); {
		run, bad := "", columns[i].Full > 0
		for ; i < len(columns) && columns[i].Full > 0 == bad; i++ {
			height := 0
			if v := columns[i].Max; v > 0 {
				height = max(v*rows*8/max(top, 1), 1)
			}
			run += strings.Repeat(string(steps[min(max(height-row*8, 0), 8)]), cells)
		}
		if bad {
			run = m.style.Bad(run)
		}
		b.WriteString(run)
	}
	return b.String()
}
