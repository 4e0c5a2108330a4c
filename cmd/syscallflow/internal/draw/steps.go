package draw

import (
	"fmt"
	"strings"

	"onconn/cmd/syscallflow/internal/story"
)

// step draws one: an arrow between lanes, or a text in one.
func (d *drawing) step(s *story.Step) {
	switch {
	case s.Kind == story.Rest:
		d.rest(s)
	case s.From == s.To:
		d.local(s)
	default:
		d.arrow(s)
	}
}

// A phrase is a text in parts of several colours.
type phrase []struct{ text, colour string }

func (p *phrase) add(text, colour string) {
	if text != "" {
		*p = append(*p, struct{ text, colour string }{text, colour})
	}
}

func (p phrase) cells() (n int) {
	for _, part := range p {
		n += len([]rune(part.text))
	}
	return n + max(len(p)-1, 0)
}

// put writes a phrase from a column on, cut where the row ends.
func (d *drawing) put(r *row, x int, p phrase) {
	for i, part := range p {
		if i > 0 {
			r.put(x, " ", "")
			x++
		}
		text := cut([]rune(part.text), len(r.text)-x, d.style.ASCII)
		r.put(x, string(text), part.colour)
		x += len(text)
	}
}

// name is what a step is and of which socket.
func (d *drawing) name(s *story.Step) (p phrase) {
	p.add(d.plain(s.Label), stateColour(s.State))
	if s.Socket > 0 {
		p.add(d.plain(d.bullet(d.Sockets[s.Socket-1].Letter)), colour(s.Socket))
	}
	return p
}

// outcome is what came of it: a sign and a word if it went wrong, and its note.
func (d *drawing) outcome(s *story.Step) (p phrase) {
	result := s.Result
	if s.State == story.Failed {
		if result == "" && s.Kind != story.Life {
			result = "failed"
		}
		result = strings.TrimSpace("✗ " + result)
	}
	if s.State == story.Odd {
		result = strings.TrimSpace("! " + result)
	}
	p.add(d.plain(result), stateColour(s.State))
	if s.Times > 1 {
		p.add(d.plain(fmt.Sprintf("×%d", s.Times)), "1")
	}
	if s.Note > 0 {
		p.add(d.plain(number(s.Note)), "2")
	}
	return p
}

func (d *drawing) time(r *row, s *story.Step) {
	text := fmt.Sprintf("%.1f", float64(s.Time)/d.unit)
	r.put(max(timeCells-1-len(text), 0), text, "2")
}

func (d *drawing) local(s *story.Step) {
	p := append(d.name(s), d.outcome(s)...)
	x := d.x[s.From]
	r := d.row(true)
	d.time(r, s)
	right, left := d.style.Width-x-2, x-2-timeCells
	if n := p.cells(); n > right && n <= left {
		r.put(x, "┤", colour(s.Socket))
		d.clear(r, x-2-n, x-1)
		d.put(r, x-1-n, p)
	} else {
		r.put(x, "├", colour(s.Socket))
		d.clear(r, x+1, x+3+p.cells())
		d.put(r, x+2, p)
	}
	d.emit(r)
}

// clear makes room for a text.
func (d *drawing) clear(r *row, from, to int) {
	r.put(from, strings.Repeat(" ", max(min(to, len(r.text))-from, 0)), "")
}

func (d *drawing) arrow(s *story.Step) {
	a, b := d.x[s.From], d.x[s.To]
	left, right := min(a, b), max(a, b)
	name, outcome := d.name(s), d.outcome(s)
	inside, beside := right-left-3, d.style.Width-right-2
	r := d.row(true)
	above := name.cells() > inside || outcome.cells() > beside
	if above {
		p := append(name, outcome...)
		n := p.cells()
		x := max(min(left+2, d.style.Width-n), timeCells+1)
		d.time(r, s)
		d.clear(r, x-1, x+n+1)
		d.put(r, x, p)
		d.emit(r)
		r = d.row(true)
	} else {
		d.time(r, s)
	}
	line := map[story.Kind]string{story.Pass: "═", story.Like: "┄", story.Life: "┄"}[s.Kind]
	if line == "" {
		line = "─"
	}
	c := colour(s.Socket)
	r.put(left+1, strings.Repeat(line, right-left-1), c)
	head := "►"
	if a > b {
		head = "◄"
	}
	if s.State == story.Failed {
		head, c = "✗", stateColour(s.State)
	}
	if a < b {
		r.put(a, "├", c)
		r.put(b-1, head, c)
	} else {
		r.put(a, "┤", c)
		r.put(b+1, head, c)
	}
	if !above {
		x := left + 3
		if a < b && name.cells() == inside {
			x-- // there is no dash before it
		}
		r.put(x-1, " ", "")
		d.put(r, x, name)
		if end := x + name.cells(); end < right-1 || a > b && end < right {
			r.put(end, " ", "")
		}
		if len(outcome) > 0 {
			d.clear(r, right+1, right+3+outcome.cells())
			d.put(r, right+2, outcome)
		}
	}
	d.emit(r)
}

// rest draws a time in which nothing happens as a fold across all lanes.
func (d *drawing) rest(s *story.Step) {
	r := d.row(false)
	end := d.style.Width - rightMin
	if n := len(d.x); n > 0 {
		end = min(d.x[n-1]+rightMin/2, d.style.Width)
	}
	r.put(0, strings.Repeat("─", end), "2")
	for _, x := range d.x {
		r.put(x, "┼", "2")
	}
	text := " " + d.plain(s.Label) + " "
	x := max((end-len([]rune(text)))/2, timeCells+2)
	if n := len(d.x); n > 1 && d.x[1]+1+len([]rune(text)) < end {
		x = d.x[1] + 3
	}
	r.put(x, string(cut([]rune(text), d.style.Width-x, d.style.ASCII)), "2")
	d.emit(r)
}
