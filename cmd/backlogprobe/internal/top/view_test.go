package top

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"onconn/internal/terminal"
)

func TestScreens(t *testing.T) {
	size := func(w, h int) tea.Msg { return tea.WindowSizeMsg{Width: w, Height: h} }
	ascii := shown(made())
	ascii.style.ASCII = true
	colour := shown(made())
	colour.style.Colour = true
	for name, m := range map[string]model{
		"table.txt":         shown(made()),
		"table-ascii.txt":   ascii,
		"table-colour.txt":  colour,
		"help-40x10.txt":    feed(press(shown(made()), "h"), size(40, 10)),
		"table-40x10.txt":   feed(shown(made()), size(40, 10)),
		"table-120x30.txt":  feed(shown(made()), size(120, 30)),
		"detail.txt":        press(shown(made()), "<enter>"),
		"detail-ascii.txt":  press(ascii, "<enter>"),
		"detail-colour.txt": press(colour, "<enter>"),
		"detail-40x10.txt":  feed(press(shown(made()), "<enter>"), size(40, 10)),
		"detail-150x45.txt": feed(press(shown(made()), "<enter>"), size(150, 45)),
		"detail-group.txt":  press(shown(made()), "j", "<enter>"),
		"help.txt":          press(shown(made()), "h"),
		"small.txt":         feed(shown(made()), size(39, 9)),
		"start.txt":         newModel(terminal.Style{Width: 80}, ":8080", nil),
		"error.txt":         feed(shown(made()), lookMsg{err: errors.New("open the network namespace blue: no such file or directory")}),
	} {
		t.Run(name, func(t *testing.T) { looks(t, name, m) })
	}
}

// Every size, view and style: nothing is wider or longer than the terminal, the
// lines that must be there are, and ASCII is ASCII.
func TestEverySizeFits(t *testing.T) {
	odd := made()
	odd.Listeners[0].Local = "/run/\x1b[31m" + strings.Repeat("long/", 30) + "日本"
	odd.Listeners[0].Owners[0].Command = "a\nb\x07日本語"
	odd.Findings[0].Lines[0] = strings.Repeat("word ", 100) + strings.Repeat("x", 300)
	for _, ascii := range []bool{false, true} {
		for _, keys := range []string{"", "j", "jj", "jjj", "h", "/abc"} {
			for _, detail := range []string{"", "<enter>"} {
				m := press(shown(odd), keys)
				m = press(m, detail)
				m.style.ASCII = ascii
				for w := 1; w < 200; w += 23 {
					for h := 1; h < 60; h += 7 {
						m := feed(m, tea.WindowSizeMsg{Width: w, Height: h})
						name := fmt.Sprintf("%q%s %dx%d ascii %v", keys, detail, w, h, ascii)
						fits(t, name, m)
						text := screen(m)
						if strings.ContainsAny(text, "\x1b\x07") {
							t.Fatalf("%s: a name steers the terminal: %q", name, text)
						}
						if ascii && strings.ContainsFunc(text, func(r rune) bool { return r > 0x7e }) {
							t.Fatalf("%s: not ASCII:\n%s", name, text)
						}
						if w >= minWidth && h >= minHeight && len(m.screen()) != h {
							t.Fatalf("%s: %d lines", name, len(m.screen()))
						}
						if t.Failed() {
							return
						}
					}
				}
			}
		}
	}
}

// Without colours a state is still told, by a mark.
func TestColourIsNeverAlone(t *testing.T) {
	m := shown(made())
	m.style.Colour = true
	plain := shown(made())
	stripped := stripSGR(screen(m))
	if trimLines(stripped) != trimLines(screen(plain)) {
		t.Errorf("colour says more than the text:\n%s\nand without\n%s", stripped, screen(plain))
	}
	if !strings.Contains(screen(m), "\x1b[7m") {
		t.Error("the selected row isn't shown in reverse")
	}
	for _, mark := range []string{">✗", " !", " ?"} {
		if !strings.Contains(screen(plain), "\n"+mark) {
			t.Errorf("no row is marked %q", mark)
		}
	}
}

func stripSGR(s string) string {
	var b strings.Builder
	for s != "" {
		before, after, ok := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !ok {
			break
		}
		_, s, _ = strings.Cut(after, "m")
	}
	return b.String()
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
