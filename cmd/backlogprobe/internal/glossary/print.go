package glossary

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"onconn/backlog"
	"onconn/internal/terminal"
)

// Schema is the version of the JSON form.
const Schema = "backlogprobe-glossary/1"

// document is an entry in JSON.
type document struct {
	Schema string `json:"schema"`
	Entry
	Value *string `json:"value"` // on this host; null: none, or it can't be read
}

// Print explains a name, with its value on this host. A name that it doesn't
// know is an error that suggests others.
func Print(w io.Writer, s terminal.Style, asJSON bool, name string) error {
	e, ok := Find(name)
	if !ok {
		text := fmt.Sprintf("%q is neither a file nor a name that explain knows", name)
		if near := Suggest(name); len(near) > 0 {
			return fmt.Errorf("%s: did you mean %s?", text, strings.Join(near, ", "))
		}
		return fmt.Errorf("%s (explain --list shows all)", text)
	}
	value, known := e.Value()
	if asJSON {
		return encode(w, e, value, known)
	}
	head := s.Bold(e.Name) + "  " + s.Dim(string(e.Kind))
	if known {
		head += fmt.Sprintf("  %s on this host", value)
	}
	if e.Since != "" {
		head += s.Dim(fmt.Sprintf("  since Linux %s", e.Since))
	}
	fmt.Fprintln(w, head)
	section(w, s, "means", e.Means)
	section(w, s, "but", e.Not)
	section(w, s, "do", e.Do)
	section(w, s, "source", e.Source)
	return nil
}

func encode(w io.Writer, e Entry, value string, known bool) error {
	d := document{Schema: Schema, Entry: e}
	if known {
		d.Value = &value
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(d)
}

// section prints text behind a label, wrapped.
func section(w io.Writer, s terminal.Style, label, text string) {
	if text == "" {
		return
	}
	const margin = 10
	width := max(min(s.Width, 100)-margin, 30)
	label = terminal.Pad("  "+label, margin)
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && terminal.Cells(line)+1+terminal.Cells(word) > width {
			fmt.Fprintln(w, label+line)
			label, line = strings.Repeat(" ", margin), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if s.ASCII {
		line = strings.ReplaceAll(line, "×", "x")
	}
	fmt.Fprintln(w, label+line)
}

// List prints all names with the beginning of what they mean.
func List(w io.Writer, s terminal.Style, asJSON bool) error {
	var kind Kind
	for _, e := range Entries() {
		if asJSON {
			value, known := e.Value()
			if err := encode(w, e, value, known); err != nil {
				return err
			}
			continue
		}
		if e.Kind != kind {
			kind = e.Kind
			fmt.Fprintln(w, s.Bold(string(kind)+"s"))
		}
		line := "  " + terminal.Pad(e.Name, 26) + e.Means
		fmt.Fprintln(w, s.Cut(line, s.Width))
	}
	return nil
}

// Value is the counter or setting in our network namespace now.
func (e Entry) Value() (string, bool) {
	switch {
	case e.Key == "":
	case e.Kind == Setting:
		b, err := os.ReadFile(filepath.Join("/proc/sys/net", e.Key))
		return strings.TrimSpace(string(b)), err == nil
	case e.Kind == Counter:
		ns, err := backlog.OpenNamespace("")
		if err != nil {
			return "", false
		}
		defer ns.Close()
		all, err := ns.Counters()
		if err != nil {
			return "", false
		}
		n, ok := all[e.Key]
		return fmt.Sprint(n), ok
	}
	return "", false
}
