package draw

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"

	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

// Mermaid writes a sequence diagram, to be pasted into documents.
func Mermaid(w io.Writer, s *story.Story) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "sequenceDiagram\n")
	for i, l := range s.Lanes {
		name := mermaid(l.Name)
		if l.Detail != "" {
			name += "<br/>" + mermaid(l.Detail)
		}
		fmt.Fprintf(b, "    participant L%d as %s\n", i, name)
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		if step.Kind == story.Rest {
			fmt.Fprintf(b, "    Note over L0,L%d: %s\n", len(s.Lanes)-1, mermaid(step.Label))
			continue
		}
		text := mermaid(phraseOf(s, step))
		if step.From == step.To {
			fmt.Fprintf(b, "    Note right of L%d: %s\n", step.From, text)
		} else {
			fmt.Fprintf(b, "    L%d%sL%d: %s\n", step.From, arrow(step), step.To, text)
		}
		if step.Why != "" && (step.State != story.Well || step.Kind == story.Pass) {
			left, right := min(step.From, step.To), max(step.From, step.To)
			over := fmt.Sprintf("L%d,L%d", left, right)
			if left == right {
				over = fmt.Sprintf("L%d", left)
			}
			fmt.Fprintf(b, "    Note over %s: %s\n", over, wrapped(step.Why))
		}
	}
	return b.Flush()
}

// wrapped is a sentence in short lines, since Mermaid breaks none.
func wrapped(text string) string {
	lines := terminal.Wrap(text, 40)
	for i, l := range lines {
		lines[i] = mermaid(l)
	}
	return strings.Join(lines, "<br/>")
}

func arrow(s *story.Step) string {
	switch {
	case s.State == story.Failed:
		return "-x"
	case s.Kind == story.Like || s.Kind == story.Life:
		return "-->>"
	case s.Kind == story.Pass:
		return "-)"
	}
	return "->>"
}

// phraseOf is all of a step in a line: what, which socket, what came of it.
func phraseOf(s *story.Story, step *story.Step) string {
	parts := []string{step.Label}
	if step.Socket > 0 {
		parts = append(parts, "●"+s.Sockets[step.Socket-1].Letter)
	}
	switch step.State {
	case story.Failed:
		parts = append(parts, "✗")
	case story.Odd:
		parts = append(parts, "!")
	}
	parts = append(parts, step.Result)
	if step.Times > 1 {
		parts = append(parts, fmt.Sprintf("×%d", step.Times))
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

// keyword is a word that Mermaid takes for one of its own.
var keyword = regexp.MustCompile(`(?i)\bend\b`)

// mermaid makes a text harmless: its codes are #number;.
func mermaid(text string) string {
	var b strings.Builder
	for _, r := range terminal.Clean(text) {
		if strings.ContainsRune("#;%<>&\"`{}[]()", r) {
			fmt.Fprintf(&b, "#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return keyword.ReplaceAllStringFunc(b.String(), func(w string) string {
		return fmt.Sprintf("%c#%d;%c", w[0], w[1], w[2])
	})
}
