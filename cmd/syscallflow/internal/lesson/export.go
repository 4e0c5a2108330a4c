package lesson

import (
	"encoding/json"
	"fmt"
	"io"

	"onconn/cmd/syscallflow/internal/draw"
	"onconn/cmd/syscallflow/internal/story"
)

// HTML writes a page with the drawing, and what was measured and what it means below.
func (r *Run) HTML(w io.Writer) error {
	s := r.Story()
	s.Title = fmt.Sprintf("Lesson %d of %d: %s", r.Number, Most, r.Title)
	var found []story.Finding
	add := func(text string, ids []string) {
		differing := r.Differing(ids...)
		for _, f := range differing {
			found = append(found, story.Finding{Text: otherwise(f), State: story.Failed})
		}
		found = append(found, story.Finding{Text: qualified(text, differing)})
	}
	add(r.Question, nil)
	for i, t := range r.Steps {
		add(fmt.Sprintf("Step %d: %s", i+1, t), nil)
	}
	for _, f := range r.Facts {
		finding := story.Finding{Text: "Measured: " + f.String()}
		if f.Differs() {
			finding = story.Finding{Text: otherwise(f), State: story.Failed}
		}
		found = append(found, finding)
	}
	for _, t := range r.Texts {
		add(t.Text, t.Needs)
	}
	for _, m := range r.Myths {
		add("It is often said: "+m.Said+" "+m.Seen, m.Needs)
	}
	s.Findings = append(found, s.Findings...)
	return draw.HTML(w, s)
}

// Schema names the form of what JSON writes.
const Schema = "syscallflow-lesson/1"

// JSON writes what was measured.
func (r *Run) JSON(w io.Writer) error {
	type myth struct {
		Said      string `json:"said"`
		Seen      string `json:"seen"`
		Confirmed bool   `json:"confirmed"` // by this run
	}
	out := struct {
		Schema  string   `json:"schema"`
		Lesson  int      `json:"lesson"`
		Title   string   `json:"title"`
		Program string   `json:"program"`
		Kernel  string   `json:"kernel"`
		Steps   []string `json:"steps"`
		Facts   []Fact   `json:"facts"`
		Differs bool     `json:"differs"` // a fact isn't as the text expects
		Myths   []myth   `json:"myths"`
		Unseen  []string `json:"unseen"` // by the recording
	}{Schema, r.Number, r.Title, r.Program, r.Recording.Kernel, r.Steps, r.Facts, false, []myth{}, append([]string{}, r.Recording.Unseen...)}
	for _, f := range r.Facts {
		out.Differs = out.Differs || f.Differs()
	}
	for _, m := range r.Myths {
		out.Myths = append(out.Myths, myth{m.Said, m.Seen, len(r.Differing(m.Needs...)) == 0})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(out)
}
