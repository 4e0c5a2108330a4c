package top

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/cmd/backlogprobe/internal/view"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// A section is a title with rows below. What doesn't fit is counted in the title.
type section struct {
	title string
	rows  []string
}

// detailPage is one listener: its queue, a minute of it, and who has to do with it.
func (m model) detailPage(room int) []string {
	r, ok := m.row()
	if !ok {
		return []string{"", fmt.Sprintf(" %s %s no longer listens.", m.selected.proto, m.text(m.selected.local)), " Esc goes back to the others."}
	}
	lines := m.queueLines(r)
	sections := m.sections(r)
	need := 0
	for _, s := range sections {
		need += 1 + len(s.rows)
	}
	const least, most, axes = 3, 14, 2
	if left := room - len(lines) - axes; left >= least+len(sections) {
		plot := m.plot(r.Observation.History, m.report.Time, r.Worst().Capacity, min(max(left-need, least), most))
		lines = slices.Insert(lines, 2, plot...)
	}
	return append(lines, m.lay(sections, room-len(lines))...)
}

// queueLines are the numbers of the queue.
func (m model) queueLines(r survey.Row) []string {
	name := m.local(r) + "  " + r.Proto + "  " + m.text(view.Processes(&r, m.style, true))
	queue := r.Worst()
	f := fill(queue.Depth, r)
	gauge := fmt.Sprintf(" accept queue %d/%d ", queue.Depth, queue.Capacity)
	if len(r.Members) > 0 {
		gauge = fmt.Sprintf(" fullest of %d queues %d/%d ", len(r.Members), queue.Depth, queue.Capacity)
	}
	after := fmt.Sprintf(" %s  peak %d%s", words.Percent(f), r.Peak, fullOfHistory(r))
	bar := m.style.Bar(f, min(max(m.width-len(gauge)-len(after)-1, 4), 60))
	state := terminal.OK
	if f >= 1 {
		state = terminal.Critical
	}
	facts := []string{
		"oldest wait " + oldestWait(r), "longest stall " + words.Duration(r.Stall),
		"arrivals " + perSecond(r.Arrivals), "accepts " + perSecond(r.Accepts),
		fmt.Sprintf("drops %d, now %s", r.Drops, m.perLook(r.Dropped)),
		fmt.Sprintf("SYN queue %d", r.HalfOpen), fmt.Sprintf("limit %d", queue.Limit),
	}
	if r.BytesWaiting > 0 {
		facts = append(facts, "unread "+words.Bytes(int64(r.BytesWaiting)))
	}
	return append([]string{m.style.Bold(" " + name), gauge + m.style.Paint(state, bar) + after}, m.flow(facts...)...)
}

// fullOfHistory is for how much of the seconds seen the queue was full.
func fullOfHistory(r survey.Row) string {
	history := r.Observation.History
	if len(history) == 0 {
		return ""
	}
	var full time.Duration
	for _, s := range history {
		full += s.Full
	}
	// The first and the last second may be seen in part.
	began := history[0].Start
	if since := r.Observation.Since; since.Sub(began) < time.Second {
		began = later(began, since)
	}
	seen := r.Observation.Until.Sub(began).Seconds()
	if seen <= 0 {
		return ""
	}
	return fmt.Sprintf("  full %s of %.0f s", words.Percent(min(full.Seconds()/seen, 1)), max(seen, 1))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m model) perLook(n uint32) string {
	if m.report.Sampled <= 0 {
		return "unknown"
	}
	perSecond := float64(n) / m.report.Sampled.Seconds()
	text := "+" + words.Rate(perSecond) + "/s"
	if n > 0 {
		return m.style.Warn(text)
	}
	return text
}

func (m model) sections(r survey.Row) (all []section) {
	if about := m.findings(8); len(about) > 0 {
		all = append(all, section{"WHAT IT MEANS", about})
	}
	if r.Hurt != nil && r.Hurt.Clients > 0 {
		all = append(all, m.whoIsHurt(r.Hurt))
	}
	all = append(all, m.whoAccepts(r))
	if len(r.Waiters) > 0 {
		all = append(all, whoWaits(r))
	}
	if len(r.Members) > 0 {
		all = append(all, sockets(r.Members))
	}
	return all
}

func (m model) whoAccepts(r survey.Row) section {
	s := section{title: "WHO ACCEPTS" + terminal.Pad("acc/s  share", -28)}
	if r.Owners == nil {
		why := "hidden"
		if w := m.report.UnknownWhy["owners"]; w != "" {
			why = m.text(w)
		}
		s.rows = []string{why}
		return s
	}
	owners := slices.SortedFunc(slices.Values(r.Owners), func(a, b survey.Owner) int {
		return cmp.Or(-cmp.Compare(deref(a.Share), deref(b.Share)), a.PID-b.PID)
	})
	for _, o := range owners {
		share := unknown
		if o.Share != nil {
			share = words.Percent(*o.Share)
		}
		if o.How == "held" {
			share += " of those held"
		}
		where := strings.TrimSpace(o.Unit + " " + o.Container)
		if o.Stopped {
			where = m.style.Bad("stopped") + " " + where
		}
		s.rows = append(s.rows, fmt.Sprintf("%s %5s  %5s  %s",
			terminal.Pad(m.style.Cut(m.text(fmt.Sprintf("%s fd=%d", owner(o), o.FD)), 24), 24), rate(o.Accepts), share, m.text(where)))
	}
	return s
}

func deref(v *float64) float64 {
	if v == nil {
		return -1
	}
	return *v
}

func (m model) whoIsHurt(h *survey.Hurt) section {
	title := fmt.Sprintf("WHO IS HURT  %s, %s", words.Count(h.Clients, "client"), h.How)
	if h.Longest > 0 {
		title += ", the longest for " + words.Duration(h.Longest)
	}
	s := section{title: title}
	for _, c := range h.Worst {
		s.rows = append(s.rows, fmt.Sprintf("%s %2d tries  waits %5s  %s", terminal.Pad(c.Addr, 24), c.Tries, words.Duration(c.Waits), c.Path))
	}
	return s
}

// whoWaits are connections in the queue: their clients think they are served.
func whoWaits(r survey.Row) section {
	s := section{title: "WHO WAITS IN THE QUEUE  the oldest"}
	if r.GivenUp > 0 {
		s.title += fmt.Sprintf("; %d have closed already", r.GivenUp)
	}
	for _, w := range r.Waiters {
		row := fmt.Sprintf("%s waits %5s  sent %s", terminal.Pad(w.Addr, 24), words.Duration(w.Waits), words.Bytes(int64(w.Bytes)))
		if w.GivenUp {
			row += "  has closed"
		}
		s.rows = append(s.rows, row)
	}
	return s
}

func sockets(members []survey.Row) section {
	s := section{title: fmt.Sprintf("SOCKETS%10s %6s  %6s %6s %6s", "inode", "queue", "limit", "peak", "drops")}
	for _, r := range members {
		s.rows = append(s.rows, fmt.Sprintf("%15d %6d  %6d %6d %6s", r.Inode, r.Depth, r.Limit, r.Peak, strconv.Itoa(int(r.Drops))))
	}
	return s
}

// lay gives sections the room there is: each its title and a row, the first ones
// at least, and then more rows in turn.
func (m model) lay(sections []section, room int) (lines []string) {
	sections = sections[:min(len(sections), max((room+1)/2, 0))]
	shown := make([]int, len(sections))
	for left := room - len(sections); left > 0; {
		before := left
		for i, s := range sections {
			if left > 0 && shown[i] < len(s.rows) {
				shown[i]++
				left--
			}
		}
		if left == before {
			break
		}
	}
	for i, s := range sections {
		title := " " + s.title
		if hidden := len(s.rows) - shown[i]; hidden > 0 {
			title += fmt.Sprintf("  (%d more)", hidden)
		}
		lines = append(lines, m.style.Bold(title))
		for _, row := range s.rows[:shown[i]] {
			lines = append(lines, "   "+row)
		}
	}
	return lines
}
