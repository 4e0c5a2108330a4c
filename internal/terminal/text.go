package terminal

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Clean replaces what could steer a terminal. Names of processes and paths of
// sockets are chosen by anybody.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// Cells is how many cells a text takes, colours none.
func Cells(text string) int {
	if plain(text) {
		return len(text)
	}
	return ansi.StringWidth(text)
}

// plain reports whether each byte of a text is a cell, which tables of thousands
// of rows profit from.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// Cut shortens a text to a width in cells, colours left whole, and marks the cut.
func (s Style) Cut(text string, cells int) string {
	if plain(text) && len(text) <= cells {
		return text
	}
	tail := "…"
	if s.ASCII {
		tail = "~"
	}
	return ansi.Truncate(text, max(cells, 0), tail)
}

// Pad fills a text with spaces to a width: on the right, or for a negative
// width on the left.
func Pad(text string, cells int) string {
	if cells < 0 {
		return strings.Repeat(" ", max(-cells-Cells(text), 0)) + text
	}
	return text + strings.Repeat(" ", max(cells-Cells(text), 0))
}

// Wrap breaks a text between words into lines of a width in cells.
func Wrap(text string, cells int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && Cells(line)+1+Cells(word) > cells {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
