package draw

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // of the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var page = template.Must(template.New("page").Parse(pageHTML))

// A document is what the page's template needs.
type document struct {
	*figure
	Title, Summary, System string
	CSS                    template.CSS
	JS                     template.JS
	// The policy forbids the network, and every script but ours.
	Policy   string
	Text     string // the drawing without pictures
	Findings []remark
	Notes    []remark
	Unseen   []string
	Details  []detail
}

// A remark is a sentence with its sign or number.
type remark struct {
	Sign, Text, Man, Link, Class string
}

// A detail is what the page shows of a step when it is chosen.
type detail struct {
	Time  string   `json:"time"`
	What  string   `json:"what"`
	Lanes string   `json:"lanes"`
	Why   string   `json:"why"`
	Man   string   `json:"man"`
	Link  string   `json:"link"`
	Raw   []string `json:"raw"`
}

// HTML writes a page that needs nothing else: no network, and no script to be read.
func HTML(w io.Writer, s *story.Story) error {
	var text bytes.Buffer
	if err := Text(&text, s, terminal.Style{Width: 100}); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(pageJS))
	d := document{
		figure: draft(s),
		Title:  terminal.Clean(s.Title), Summary: terminal.Clean(s.Summary), System: terminal.Clean(s.System),
		CSS: template.CSS(pageCSS), JS: template.JS(pageJS),
		Policy: fmt.Sprintf("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-%s'",
			base64.StdEncoding.EncodeToString(sum[:])),
		Text: text.String(),
	}
	for _, f := range s.Findings {
		r := remark{Text: terminal.Clean(f.Text), Class: stateClass(f.State)}
		if f.State != story.Well {
			r.Sign = terminal.Style{}.Mark(mark(f.State))
		}
		d.Findings = append(d.Findings, r)
	}
	for i, n := range s.Notes {
		d.Notes = append(d.Notes, remark{Sign: fmt.Sprintf("(%d)", i+1), Text: terminal.Clean(n.Text), Man: n.Man, Link: manual(n.Man)})
	}
	for _, u := range s.Unseen {
		d.Unseen = append(d.Unseen, terminal.Clean(u))
	}
	for i := range s.Steps {
		d.Details = append(d.Details, describe(s, &s.Steps[i]))
	}
	return page.Execute(w, d)
}

func describe(s *story.Story, step *story.Step) detail {
	d := detail{
		Time: fmt.Sprintf("%.3f ms", float64(step.Time)/1e6),
		What: terminal.Clean(phraseOf(s, step)),
		Why:  terminal.Clean(step.Why), Man: step.Man, Link: manual(step.Man), Raw: []string{},
	}
	if step.Kind == story.Rest {
		return d
	}
	d.Lanes = laneName(s, step.From)
	if step.From != step.To {
		d.Lanes += " → " + laneName(s, step.To)
	}
	for _, r := range step.Raw {
		d.Raw = append(d.Raw, terminal.Clean(r))
	}
	return d
}

func laneName(s *story.Story, i int) string {
	return strings.TrimSpace(terminal.Clean(s.Lanes[i].Name + " " + s.Lanes[i].Detail))
}

// manual is where a page of the manual can be read: "accept(2)".
func manual(page string) string {
	name, rest, ok := strings.Cut(page, "(")
	if !ok {
		return ""
	}
	section := strings.TrimSuffix(rest, ")")
	return fmt.Sprintf("https://man7.org/linux/man-pages/man%s/%s.%s.html", section, name, section)
}

func stateClass(s story.State) string {
	return [...]string{"", "odd", "failed"}[s]
}
