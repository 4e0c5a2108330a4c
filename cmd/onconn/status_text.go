package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"onconn/cluster"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// statusText is a status for people.
func statusText(s cluster.Status, now time.Time, style terminal.Style) string {
	var b strings.Builder
	fmt.Fprintf(&b, "onconn %d runs %s\n%s\n", s.PID, terminal.Clean(s.Program), summary(s, now))
	workers := grid{style: style, headers: []string{"Slot", "PID", "State", "Age", "Taken", "Active", "Queue", "Restarts", "Alive", "CPU", "RSS"}, left: map[int]bool{2: true}}
	for _, w := range s.Workers {
		workers.add(workerState(w), workerRow(w, now)...)
	}
	listeners := grid{style: style, headers: []string{"Recv-Q", "Send-Q", "Drops", "Held", "Sockets", "Mode", "Local Address:Port"}, left: map[int]bool{5: true, 6: true}}
	for _, l := range s.Listeners {
		listeners.add(listenerState(l), strconv.Itoa(l.Queue), strconv.Itoa(l.Limit), known(l.Drops, l.Drops >= 0),
			strconv.Itoa(l.Held), strconv.Itoa(l.Sockets), l.Mode.String(), terminal.Clean(l.Address))
	}
	for _, g := range []grid{workers, listeners} {
		if len(g.rows) > 0 {
			b.WriteString("\n" + g.text())
		}
	}
	b.WriteString(steeringText(s.Listeners))
	return b.String()
}

// steeringText is a line for each listener in reuseport mode: in the table it would
// leave no room for the address.
func steeringText(listeners []cluster.ListenerStatus) string {
	var b strings.Builder
	for _, l := range listeners {
		if l.Steering == "" {
			continue
		}
		fmt.Fprintf(&b, "%s: steering %s", terminal.Clean(l.Address), terminal.Clean(l.Steering))
		separator := ", away from slot "
		if len(l.Away) > 1 {
			separator = ", away from slots "
		}
		for _, slot := range l.Away {
			b.WriteString(separator + strconv.Itoa(slot))
			separator = ", "
		}
		b.WriteString("\n")
	}
	return b.String()
}

// summary is the second line.
func summary(s cluster.Status, now time.Time) string {
	online := 0
	for _, w := range s.Workers {
		if w.State == "online" {
			online++
		}
	}
	text := fmt.Sprintf("up %s, mode %s, %d of %d workers online", words.Duration(now.Sub(s.Started)), s.Mode, online, s.Target)
	if s.Upgrades > 0 {
		text += ", " + words.Count(s.Upgrades, "upgrade")
	}
	if s.Doing != "" {
		text += ", " + s.Doing + " under way"
	}
	return text
}

func workerRow(w cluster.WorkerStatus, now time.Time) []string {
	speaks := !w.LastAlive.IsZero()
	alive := "-"
	if speaks {
		alive = words.Duration(now.Sub(w.LastAlive))
	}
	return []string{strconv.Itoa(w.Slot), strconv.Itoa(w.PID), w.State, words.Duration(now.Sub(w.Started)),
		known(w.Accepted, speaks), known(w.Active, speaks), known(w.Queued, speaks), strconv.Itoa(w.Restarts),
		alive, words.Duration(w.CPU), words.Bytes(w.RSS)}
}

func known(n int64, ok bool) string {
	if !ok {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func workerState(w cluster.WorkerStatus) terminal.State {
	switch w.State {
	case "hung":
		return terminal.Critical
	case "starting", "draining":
		return terminal.Unknown
	}
	return terminal.OK
}

// listenerState warns of queues that are nearly full, and of slots that are passed
// over.
func listenerState(l cluster.ListenerStatus) terminal.State {
	switch limit := l.Limit * l.Sockets; {
	case l.Queue > limit:
		return terminal.Critical
	case l.Queue*2 > limit, l.Held > 0, len(l.Away) > 0:
		return terminal.Warning
	}
	return terminal.OK
}

// A grid is a table whose columns are as wide as their widest text.
type grid struct {
	style   terminal.Style
	headers []string
	left    map[int]bool // columns that are not numbers
	rows    [][]string
	states  []terminal.State
}

func (g *grid) add(state terminal.State, row ...string) {
	g.rows, g.states = append(g.rows, row), append(g.states, state)
}

func (g *grid) text() string {
	widths := make([]int, len(g.headers))
	for _, row := range append([][]string{g.headers}, g.rows...) {
		for i, text := range row {
			widths[i] = max(widths[i], terminal.Cells(text))
		}
	}
	var b strings.Builder
	b.WriteString(g.style.Bold(g.line(g.headers, widths)) + "\n")
	for i, row := range g.rows {
		line := g.line(row, widths)
		if s := g.states[i]; s == terminal.Warning || s == terminal.Critical {
			line = g.style.Paint(s, line) + " " + g.style.Mark(s)
		} else {
			line = g.style.Paint(s, line)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// markWidth is a space and a mark.
const markWidth = 2

func (g *grid) line(row []string, widths []int) string {
	var cells []string
	for i, text := range row {
		width := -widths[i]
		if g.left[i] {
			width = widths[i]
		}
		cells = append(cells, terminal.Pad(text, width))
	}
	return g.style.Cut(strings.TrimRight(strings.Join(cells, " "), " "), g.style.Width-markWidth)
}
