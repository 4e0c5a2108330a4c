package draw

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

// List prints each call and packet of a verbose story in a line, however long, and
// after it the letter of its socket.
func List(w io.Writer, s *story.Story, style terminal.Style) error {
	d := &drawing{Story: s, style: style, w: bufio.NewWriter(w)}
	for i := range s.Steps {
		step := &s.Steps[i]
		socket := ""
		if step.Socket > 0 {
			socket = "  " + d.plain(d.bullet(s.Sockets[step.Socket-1].Letter))
			if style.Colour {
				socket = paint(colour(step.Socket), socket)
			}
		}
		for _, raw := range step.Raw {
			line := fmt.Sprintf("%10.3f %s", float64(step.Time)/1e6, d.plain(raw))
			d.w.WriteString(strings.TrimRight(paint(stateColourIf(style, step.State), line), " ") + socket + "\n")
		}
	}
	return d.w.Flush()
}

func stateColourIf(style terminal.Style, s story.State) string {
	if !style.Colour {
		return ""
	}
	return stateColour(s)
}
