package recording

import (
	"encoding/json"
	"fmt"
	"io"
)

// Write writes it as JSON.
func (r *Recording) Write(w io.Writer) error {
	r.Schema = Schema
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Read reads what Write has written, or says why it is no recording.
func Read(from io.Reader) (*Recording, error) {
	var r Recording
	if err := json.NewDecoder(from).Decode(&r); err != nil {
		return nil, fmt.Errorf("no recording: %w", err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("no recording of the form %s: its schema is %q", Schema, r.Schema)
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("no recording: %w", err)
	}
	return &r, nil
}
