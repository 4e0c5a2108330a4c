package top

import (
	"strings"
	"unicode"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
)

// A filter is a typed text: one that the command line takes means the same here.
// A bare word, which is the whole name of a process there, selects rows that
// contain it, and so does what isn't understood. The zero filter selects all.
type filter struct {
	text   string
	parsed *survey.Filter
}

func newFilter(text string) filter {
	f := filter{text: strings.TrimSpace(text)}
	bare := strings.ContainsFunc(f.text, unicode.IsLetter) && !strings.ContainsAny(f.text, ":=/@ ")
	if parsed, err := survey.ParseFilter(strings.Fields(text)); err == nil && !bare {
		f.parsed = &parsed
	}
	return f
}

func (f filter) match(r survey.Row) bool {
	if f.text == "" {
		return true
	}
	if f.parsed != nil {
		owners := make([]backlog.Owner, len(r.Owners))
		for i, o := range r.Owners {
			owners[i] = backlog.Owner{PID: o.PID, Command: o.Command, FD: o.FD, Unit: o.Unit, Container: o.Container}
		}
		return f.parsed.Match(r.Observation.Listener, owners)
	}
	text := strings.ToLower(f.text)
	for _, part := range parts(r) {
		if strings.Contains(strings.ToLower(part), text) {
			return true
		}
	}
	return false
}

// parts are what of a row can be searched.
func parts(r survey.Row) []string {
	parts := []string{r.Netns, r.Proto, r.Local}
	for _, o := range r.Owners {
		parts = append(parts, owner(o), o.Unit, o.Container)
	}
	return parts
}
