package lesson

import (
	"fmt"
	"io"
	"strings"

	"onconn/cmd/syscallflow/internal/draw"
	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

// A Writer writes lessons for a reader.
type Writer struct {
	W       io.Writer
	Style   terminal.Style
	Answers bool   // to the questions to think about
	Pause   func() // between the parts; nil: none
	err     error
}

// Story is what is drawn of a run.
func (r *Run) Story() *story.Story {
	named := *r.Recording
	named.Command = []string{r.Program}
	return story.Tell(&named, story.Options{})
}

// Write writes a run: what was asked, done, recorded, measured, and what it means.
func (w *Writer) Write(r *Run) error {
	w.title(fmt.Sprintf("Lesson %d of %d: %s", r.Number, Most, r.Title))
	w.wrap("", r.Question)
	w.head("What was done")
	w.wrap("", "With "+r.Program+":")
	for i, s := range r.Steps {
		w.wrap(fmt.Sprintf("%d. ", i+1), s)
	}
	w.pause()
	w.head("What was recorded")
	if w.err == nil {
		w.err = draw.Text(w.W, r.Story(), w.Style)
	}
	w.pause()
	w.head("What was measured in this run")
	for _, f := range r.Facts {
		w.fact(f)
	}
	w.pause()
	w.head("What it means")
	for i, t := range r.Texts {
		if i > 0 {
			w.line("")
		}
		w.claim("", t.Text, r.Differing(t.Needs...))
	}
	if len(r.Myths) > 0 {
		w.head("What is often said")
		for i, m := range r.Myths {
			if i > 0 {
				w.line("")
			}
			w.wrap("", w.Style.Bold(m.Said))
			w.claim("  ", m.Seen, r.Differing(m.Needs...))
		}
	}
	w.head("Try it yourself")
	for _, t := range r.Try {
		w.line("  " + t)
	}
	w.head("Think about it")
	w.wrap("", r.Think)
	if w.Answers {
		w.line("")
		w.wrap("", r.Answer)
	} else {
		w.line(w.Style.Dim(fmt.Sprintf("The answer: syscallflow lesson %d --answers", r.Number)))
	}
	return w.err
}

// fact marks what is as the text has it, and what isn't.
func (w *Writer) fact(f Fact) {
	mark := "  "
	switch {
	case f.Differs():
		mark = w.Style.Mark(terminal.Critical) + " "
	case f.AsExpected != nil:
		mark = w.Style.Good(tick(w.Style)) + " "
	}
	text := f.String()
	if f.Differs() {
		text += " (expected: " + f.Expected + ")"
	}
	w.wrap(mark, text)
}

func tick(s terminal.Style) string {
	if s.ASCII {
		return "+"
	}
	return "✓"
}

// claim writes a text, unless this machine has shown otherwise.
func (w *Writer) claim(indent, text string, differing []Fact) {
	for _, f := range differing {
		w.wrap(indent+w.Style.Mark(terminal.Critical)+" ", otherwise(f))
	}
	w.wrap(indent, qualified(text, differing))
}

func otherwise(f Fact) string {
	return fmt.Sprintf("Here it was otherwise: %s; expected: %s.", f, f.Expected)
}

// qualified is a text that is no claim where facts differ from it.
func qualified(text string, differing []Fact) string {
	if len(differing) > 0 {
		return "So this can't be claimed of this machine: " + text
	}
	return text
}

func (w *Writer) title(text string) {
	w.line(w.Style.Bold(text))
	under := "━"
	if w.Style.ASCII {
		under = "="
	}
	w.line(strings.Repeat(under, min(terminal.Cells(text), w.width())))
	w.line("")
}

func (w *Writer) head(text string) {
	w.line("")
	w.line(w.Style.Bold(text))
	under := "─"
	if w.Style.ASCII {
		under = "-"
	}
	w.line(strings.Repeat(under, terminal.Cells(text)))
}

func (w *Writer) width() int { return max(w.Style.Width, 40) }

// wrap writes a text below a hanging head.
func (w *Writer) wrap(head, text string) {
	indent := terminal.Cells(head)
	for i, l := range terminal.Wrap(text, w.width()-indent) {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		w.line(head + l)
	}
}

func (w *Writer) line(text string) {
	if w.err == nil {
		_, w.err = fmt.Fprintln(w.W, strings.TrimRight(text, " "))
	}
}

func (w *Writer) pause() {
	if w.Pause != nil && w.err == nil {
		w.Pause()
	}
}
