package draw

import (
	"fmt"
	"strings"

	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

// A row is a line of the drawing: characters of one cell each, and their colours.
type row struct {
	text    []rune
	colours []string
}

// row begins a line, with the lifelines or without.
func (d *drawing) row(lanes bool) *row {
	r := &row{text: []rune(strings.Repeat(" ", d.style.Width)), colours: make([]string, d.style.Width)}
	if lanes {
		for _, x := range d.x {
			r.put(x, "│", "2")
		}
	}
	return r
}

// put writes a text from a column on, as far as there is room.
func (r *row) put(x int, text, colour string) {
	for _, c := range text {
		if x >= 0 && x < len(r.text) {
			r.text[x], r.colours[x] = c, colour
		}
		x++
	}
}

// emit writes a row, without what is empty at its end.
func (d *drawing) emit(r *row) {
	n := len(r.text)
	for n > 0 && r.text[n-1] == ' ' {
		n--
	}
	var b strings.Builder
	for i := 0; i < n; {
		j := i
		for j < n && r.colours[j] == r.colours[i] {
			j++
		}
		part := d.ascii(string(r.text[i:j]))
		if d.style.Colour {
			part = paint(r.colours[i], part)
		}
		b.WriteString(part)
		i = j
	}
	d.w.WriteString(b.String() + "\n")
}

func paint(code, text string) string {
	if code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// colour is a socket's: not red or yellow, which say that something is wrong.
func colour(socket int) string {
	if socket == 0 {
		return ""
	}
	palette := [...]string{"36", "35", "34", "32", "96", "95", "94", "92"}
	return palette[(socket-1)%len(palette)]
}

// plain makes a text harmless, each character a cell wide, and ASCII if it must be.
func (d *drawing) plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < 0x7f && r >= ' ' || terminal.Cells(string(r)) == 1 {
			return r
		}
		return '?'
	}, terminal.Clean(text))
	if !d.style.ASCII {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= '①' && r <= '⑳':
			fmt.Fprintf(&b, "(%d)", r-'①'+1)
		case words[r] != "":
			b.WriteString(words[r])
		default:
			b.WriteRune(r)
		}
	}
	return d.ascii(b.String())
}

// words are characters that ASCII needs more than one for.
var words = map[rune]string{'→': "->", '…': "...", 'µ': "u", '’': "'"}

// ascii replaces characters, each by one.
func (d *drawing) ascii(text string) string {
	if !d.style.ASCII {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			return r
		}
		switch r {
		case '│', '├', '┤':
			return '|'
		case '─':
			return '-'
		case '═':
			return '='
		case '┄', '·':
			return '.'
		case '┊':
			return ':'
		case '┼':
			return '+'
		case '►':
			return '>'
		case '◄':
			return '<'
		case '●':
			return '*'
		case '⇄':
			return '~'
		case '✗', '×':
			return 'x'
		}
		return '?'
	}, text)
}

// cut shortens a text whose characters are a cell each.
func cut(text []rune, cells int, ascii bool) []rune {
	if len(text) <= cells {
		return text
	}
	if cells <= 0 {
		return nil
	}
	tail := '…'
	if ascii {
		tail = '~'
	}
	return append(append([]rune(nil), text[:cells-1]...), tail)
}

// stateColour is how a step's text is painted.
func stateColour(s story.State) string {
	return [...]string{"", "33", "1;31"}[s]
}
