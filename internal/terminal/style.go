package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A Style is what the reader of some output can see.
type Style struct {
	Colour bool
	ASCII  bool // no other characters than these
	Width  int  // in cells
}

// ForWriter finds the style for w. colour is "auto", "always" or "never". With
// auto the environment decides: a non-empty NO_COLOR, then CLICOLOR_FORCE or
// FORCE_COLOR, then whether w is a terminal other than dumb. Without ascii the
// locale decides: LC_ALL, LC_CTYPE, LANG. What isn't a terminal is 80 wide.
func ForWriter(w io.Writer, colour string, ascii bool) (Style, error) {
	s := Style{ASCII: ascii || !utf8Locale(), Width: width(w)}
	tty := s.Width > 0
	if !tty {
		s.Width = 80
	}
	switch colour {
	case "always":
		s.Colour = true
	case "never":
	case "auto", "":
		switch {
		case os.Getenv("NO_COLOR") != "":
		case forced("CLICOLOR_FORCE"), forced("FORCE_COLOR"):
			s.Colour = true
		default:
			s.Colour = tty && os.Getenv("TERM") != "dumb"
		}
	default:
		return s, fmt.Errorf("unknown colour %q: it is auto, always or never", colour)
	}
	return s, nil
}

// forced reports whether a variable demands colour: 0 doesn't.
func forced(name string) bool {
	v := os.Getenv(name)
	return v != "" && v != "0"
}

func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.HasSuffix(v, "utf-8") || strings.HasSuffix(v, "utf8")
		}
	}
	return false
}

// IsTerminal reports whether w is one.
func IsTerminal(w io.Writer) bool { return width(w) > 0 }

// width is the number of columns of a terminal, 0 of anything else.
func width(w io.Writer) (columns int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	conn.Control(func(fd uintptr) {
		if _, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err != nil {
			return
		}
		columns = 80 // a serial line doesn't know
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			columns = int(size.Col)
		}
	})
	return columns
}

// State is what a mark stands for.
type State int

const (
	OK State = iota
	Warning
	Critical
	Unknown
)

// Good, Warn, Bad and Dim colour a text: green, yellow, bold red, and faint.
func (s Style) Good(text string) string { return s.colour("32", text) }
func (s Style) Warn(text string) string { return s.colour("33", text) }
func (s Style) Bad(text string) string  { return s.colour("1;31", text) }
func (s Style) Dim(text string) string  { return s.colour("2", text) }

// Bold emphasises a text that is in no state.
func (s Style) Bold(text string) string { return s.colour("1", text) }

// Paint colours a text as its state is: warnings, what is critical, and faintly
// what is unknown.
func (s Style) Paint(state State, text string) string {
	switch state {
	case Warning:
		return s.Warn(text)
	case Critical:
		return s.Bad(text)
	case Unknown:
		return s.Dim(text)
	}
	return text
}

func (s Style) colour(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Mark is the sign of a state, so that colour never is the only one: a cell
// wide, and two for "ok" in ASCII.
func (s Style) Mark(state State) string {
	marks := [...]string{"✓", "!", "✗", "?"}
	if s.ASCII {
		marks = [...]string{"ok", "!", "x", "?"}
	}
	mark := marks[state]
	if state == OK {
		return s.Good(mark)
	}
	return s.Paint(state, mark)
}
