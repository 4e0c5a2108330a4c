package draw

import (
	"bytes"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording/recordingtest"
	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/golden"
	"onconn/internal/terminal"
)

func text(t testing.TB, s *story.Story, style terminal.Style) string {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, s, style); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, r := range recordingtest.All(t) {
		s := story.Tell(r, story.Options{})
		golden.Check(t, name+".80.txt", text(t, s, terminal.Style{Width: 80}))
		if strings.HasPrefix(name, "real-") {
			continue
		}
		golden.Check(t, name+".ascii.txt", text(t, s, terminal.Style{Width: 80, ASCII: true}))
		golden.Check(t, name+".120.txt", text(t, s, terminal.Style{Width: 120}))
	}
}

// TestWidth finds lines that a terminal would wrap, and what ASCII may not have.
func TestWidth(t *testing.T) {
	for name, r := range recordingtest.All(t) {
		for _, verbose := range []bool{false, true} {
			s := story.Tell(r, story.Options{Verbose: verbose})
			widths := []int{40, 61, 80, 132}
			if verbose {
				widths = []int{80}
			}
			for _, width := range widths {
				for _, ascii := range []bool{false, true} {
					for _, colours := range []bool{false, true} {
						style := terminal.Style{Width: width, ASCII: ascii, Colour: colours}
						for _, line := range strings.Split(text(t, s, style), "\n") {
							if n := terminal.Cells(line); n > width {
								t.Fatalf("%s: %d cells of %d: %s", name, n, width, line)
							}
							if i := strings.IndexFunc(line, func(r rune) bool { return r > 0x7e }); ascii && i >= 0 {
								t.Fatalf("%s: not ASCII: %s", name, line)
							}
						}
					}
				}
			}
		}
	}
}
