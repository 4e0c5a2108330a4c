// Package draw draws a story: as text for a terminal, as a page with SVG, and as
// Mermaid's source.
package draw

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

// Text draws for a terminal, in no line wider than the style's width.
func Text(w io.Writer, s *story.Story, style terminal.Style) error {
	style.Width = max(style.Width, 40)
	s = s.Fold(fits(style.Width))
	b := bufio.NewWriter(w)
	d := &drawing{Story: s, style: style, w: b}
	d.place()
	d.head()
	for i := range s.Steps {
		d.step(&s.Steps[i])
	}
	d.strips()
	d.legend()
	d.notes()
	return b.Flush()
}

// A drawing is on its way to a terminal.
type drawing struct {
	*story.Story
	style terminal.Style
	w     *bufio.Writer
	x     []int // the column of each lane
	unit  float64
}

func (d *drawing) head() {
	d.line(d.style.Bold(d.plain(d.Title)))
	d.wrap("", d.Summary)
	d.line(d.style.Dim(d.plain(d.System)))
	d.line("")
	if len(d.Lanes) == 0 {
		d.line("Nothing to draw: no call about a socket.")
		return
	}
	d.unit = 1e6
	unit := "ms"
	if n := len(d.Steps); n > 0 && d.Steps[n-1].Time >= 1e11 {
		d.unit, unit = 1e9, "s"
	}
	for _, which := range []func(story.Lane, bool) string{
		func(l story.Lane, long bool) string { return either(long, l.Name, l.Short) },
		func(l story.Lane, long bool) string { return either(long, l.Detail, l.Brief) },
	} {
		r := d.row(false)
		for i, l := range d.Lanes {
			room := d.style.Width - d.x[i]
			if i+1 < len(d.x) {
				room = d.x[i+1] - d.x[i] - 1
			}
			text := []rune(d.plain(which(l, true)))
			if len(text) > room {
				text = []rune(d.plain(which(l, false)))
			}
			r.put(d.x[i], string(cut(text, room, d.style.ASCII)), "1")
		}
		d.emit(r)
	}
	r := d.row(true)
	r.put(timeCells-1-len(unit), unit, "2")
	d.emit(r)
}

// either is the long form of a text, or the short one if there is one.
func either(long bool, text, short string) string {
	if long || short == "" {
		return text
	}
	return short
}

// strips draws the depth of each queue over the steps.
func (d *drawing) strips() {
	if len(d.Queues) > 0 {
		d.line("")
	}
	for _, q := range d.Queues {
		room := min(len(q.Depths), max(d.style.Width-44, 10))
		values := make([]float64, room)
		most := 0
		for i, depth := range q.Depths {
			most = max(most, depth)
			at := i * room / len(q.Depths)
			values[at] = max(values[at], float64(depth))
		}
		source := "counted"
		if q.Sampled {
			source = "sampled"
		}
		head := "accept queue " + d.bullet(q.Letter)
		if q.Letter == "" {
			head = "accept queue"
		}
		d.line(fmt.Sprintf("%s %s  most %d of %d (%s)", d.plain(head), d.style.Spark(values, 0), most, q.Limit+1, source))
	}
}

func (d *drawing) legend() {
	if len(d.Sockets) > 0 {
		d.line("")
	}
	for i, s := range d.Sockets {
		if i == 12 && len(d.Sockets) > 13 {
			d.line(fmt.Sprintf("   and %d more sockets", len(d.Sockets)-i))
			break
		}
		text := d.plain(d.bullet(s.Letter) + " " + s.What)
		if s.Trail != "" {
			text += ": " + d.plain(s.Trail)
		}
		text = d.style.Cut(text, d.style.Width)
		if head := d.plain(d.bullet(s.Letter)); d.style.Colour && strings.HasPrefix(text, head) {
			text = paint(colour(i+1), head) + text[len(head):]
		}
		d.line(text)
	}
}

func (d *drawing) notes() {
	if len(d.Findings) > 0 {
		d.line("")
	}
	for _, f := range d.Findings {
		sign := ""
		if f.State != story.Well {
			sign = d.style.Mark(mark(f.State)) + " "
		}
		d.wrap(sign, f.Text)
	}
	if len(d.Notes) > 0 {
		d.line("")
	}
	for i, n := range d.Notes {
		text := n.Text
		if n.Man != "" {
			text += " " + n.Man
		}
		d.wrap(d.plain(number(i+1))+" ", text)
	}
	for _, u := range d.Unseen {
		d.wrap("? ", u)
	}
}

// wrap writes a text below a hanging head.
func (d *drawing) wrap(head, text string) {
	indent := terminal.Cells(head)
	for i, l := range terminal.Wrap(d.plain(text), d.style.Width-indent) {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		d.line(head + d.style.Cut(l, d.style.Width-indent))
	}
}

func (d *drawing) line(text string) {
	d.w.WriteString(strings.TrimRight(d.style.Cut(text, d.style.Width), " "))
	d.w.WriteByte('\n')
}

// bullet is a socket's letter.
func (d *drawing) bullet(letter string) string { return "●" + letter }

func mark(s story.State) terminal.State {
	return [...]terminal.State{terminal.OK, terminal.Warning, terminal.Critical}[s]
}

// number is the number of a note, in one cell while it can be.
func number(n int) string {
	if n >= 1 && n <= 20 {
		return string(rune('①' + n - 1))
	}
	return fmt.Sprintf("(%d)", n)
}
