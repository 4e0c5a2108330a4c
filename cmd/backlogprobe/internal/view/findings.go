package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// A block is all that is said about one listener, or about a namespace.
type block struct {
	label string
	worst survey.Severity
	lines []string
	try   []string
}

// mostCalm is how many listeners with nothing wrong are spoken of.
const mostCalm = 5

// Findings writes what was found, the worst first. What is not wrong is left out
// where there is much of it, unless all is asked for.
func Findings(w io.Writer, r *survey.Report, s terminal.Style, all bool) {
	blocks := blocks(r)
	calm := 0
	for _, b := range blocks {
		if b.worst == survey.OK {
			calm++
		}
	}
	width := 0
	for _, b := range blocks {
		if b.worst != survey.OK || all || calm <= mostCalm {
			width = max(width, terminal.Cells(b.label))
		}
	}
	width = min(width, 24)
	for _, b := range blocks {
		if b.worst != survey.OK || all || calm <= mostCalm {
			b.write(w, s, width)
		}
	}
	if calm > mostCalm && !all {
		fmt.Fprintf(w, "  %s refused something once, and none of them now (-v names them)\n", words.Count(calm, "listener"))
	}
}

func blocks(r *survey.Report) (all []*block) {
	index := map[rowID]*block{}
	for _, f := range r.Findings {
		k := rowID{f.Netns, f.Local}
		b := index[k]
		if b == nil {
			b = &block{label: label(r, f), worst: f.Severity}
			index[k] = b
			all = append(all, b)
		}
		if f.Severity.Worse(b.worst) {
			b.worst = f.Severity
		}
		b.lines = append(b.lines, f.Lines...)
		for _, t := range f.Try {
			if !slices.Contains(b.try, t) {
				b.try = append(b.try, t)
			}
		}
	}
	return all
}

// label is short: the port alone, where no other listener has it.
func label(r *survey.Report, f survey.Finding) string {
	if f.Local == "" {
		return "netns " + terminal.Clean(f.Netns)
	}
	text := terminal.Clean(f.Local)
	if i := strings.LastIndexByte(text, ':'); i > 0 && !strings.HasPrefix(text, "/") {
		alone := !slices.ContainsFunc(r.Listeners, func(row survey.Row) bool {
			return row.Netns == f.Netns && row.Local != f.Local && strings.HasSuffix(row.Local, f.Local[i:])
		})
		if alone {
			text = text[i:]
		}
	}
	if len(r.Namespaces) > 1 {
		text = strings.TrimSpace(terminal.Clean(f.Netns) + " " + text)
	}
	return text
}

func (b *block) write(w io.Writer, s terminal.Style, width int) {
	mark := calmMark
	if b.worst != survey.OK {
		mark = s.Mark(state(b.worst))
	}
	indent := strings.Repeat(" ", width+4)
	begin := mark + " " + terminal.Pad(s.Cut(b.label, width), width) + "  "
	if width == 0 {
		begin, indent = mark+" ", "  "
	}
	for _, text := range b.lines {
		for _, line := range terminal.Wrap(terminal.Clean(text), s.Width-len(indent)) {
			fmt.Fprintln(w, begin+line)
			begin = indent
		}
	}
	if b.worst == survey.OK {
		return // nothing needs to be done
	}
	verb := "try  "
	for _, t := range b.try {
		fmt.Fprintln(w, begin+s.Dim(verb)+s.Bold(t))
		begin, verb = indent, "     "
	}
}

// calmMark is that of a listener with nothing wrong now.
const calmMark = "-"

// Footer says what was looked at, and how.
func Footer(w io.Writer, r *survey.Report, s terminal.Style, hidden int) {
	dot := " · "
	if s.ASCII {
		dot = " - "
	}
	var parts []string
	if hidden > 0 {
		parts = append(parts, words.Count(hidden, "quiet listener")+" hidden: -a")
	}
	if len(r.Namespaces) == 1 {
		n := r.Namespaces[0]
		if n.Name != "host" {
			parts = append(parts, "netns "+terminal.Clean(n.Name))
		}
		if n.Sysctls.Somaxconn >= 0 {
			parts = append(parts, fmt.Sprintf("somaxconn %d", n.Sysctls.Somaxconn))
		}
	} else {
		parts = append(parts, words.Count(len(r.Namespaces), "network namespace"))
	}
	if r.Sampled > 0 && r.Interval > 0 {
		parts = append(parts, fmt.Sprintf("sampled at %.0f Hz for %s", 1/r.Interval.Seconds(), words.Duration(r.Sampled)))
	} else {
		parts = append(parts, "one reading")
	}
	for _, line := range terminal.Wrap(strings.Join(parts, dot), s.Width-2) {
		fmt.Fprintln(w, s.Dim("  "+line))
	}
	for _, field := range []string{"owners", "namespaces"} {
		if why := r.UnknownWhy[field]; why != "" && why != "not asked for" {
			for _, line := range terminal.Wrap(why, s.Width-2) {
				fmt.Fprintln(w, s.Dim("  "+line))
			}
		}
	}
}
