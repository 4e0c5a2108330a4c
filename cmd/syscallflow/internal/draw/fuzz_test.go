package draw

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/recording/recordingtest"
	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

// FuzzDraw draws recordings that no program would make.
func FuzzDraw(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed, uint8(seed), uint8(seed*11), uint8(seed*20))
	}
	f.Fuzz(func(t *testing.T, seed uint64, file, changes, width uint8) {
		r := recordingtest.Load(t, "made/"+recordingtest.Made[int(file)%len(recordingtest.Made)])
		random := rand.New(rand.NewPCG(seed, 0))
		for range changes {
			recordingtest.Change(r, random)
		}
		if r.Check() != nil {
			return
		}
		s := story.Tell(r, story.Options{Verbose: seed%2 == 0})
		style := terminal.Style{Width: int(width), ASCII: seed%3 == 0}
		for _, line := range strings.Split(text(t, s, style), "\n") {
			if n := terminal.Cells(line); n > max(style.Width, 40) {
				t.Fatalf("%d cells of %d: %s", n, width, line)
			}
		}
		var b bytes.Buffer
		for _, draw := range []func() error{
			func() error { return HTML(&b, s) }, func() error { return Mermaid(&b, s) }, func() error { return List(&b, s, style) },
		} {
			if err := draw(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestEmpty draws what recorded nothing.
func TestEmpty(t *testing.T) {
	s := story.Tell(&recording.Recording{Command: []string{"true"}}, story.Options{})
	if got := text(t, s, terminal.Style{Width: 80}); !strings.Contains(got, "Nothing to draw") {
		t.Errorf("%s", got)
	}
	if page := html(t, s); !strings.Contains(page, "Nothing to draw") {
		t.Error("the page doesn't say that there is nothing to draw")
	}
	var b bytes.Buffer
	if err := Mermaid(&b, s); err != nil || b.String() != "sequenceDiagram\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
