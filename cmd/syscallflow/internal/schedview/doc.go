// Package schedview shows what package sched has measured: in a terminal, as
// JSON, and as a page that needs nothing else.
package schedview

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"

	"onconn/internal/sched"
)

// Schema is the version of the JSON. It grows when a field changes its meaning
// or goes away.
const Schema = "syscallflow-sched/1"

// WriteJSON writes the report. Times are in nanoseconds.
func WriteJSON(w io.Writer, r *sched.Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Schema string `json:"schema"`
		*sched.Report
		Predictions []sched.Prediction `json:"predictions,omitempty"`
	}{Schema, r, r.Predictions()})
}

// ReadJSON reads what WriteJSON has written to a file.
func ReadJSON(name string) (*sched.Report, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var d struct {
		Schema string `json:"schema"`
		sched.Report
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if d.Schema != Schema {
		return nil, fmt.Errorf("%s: its schema is %q, this program reads %q", name, d.Schema, Schema)
	}
	return &d.Report, nil
}

// A table is a case, and the one with the same load in which a worker stops, if
// it comes next.
type table struct {
	sched.CaseReport
	hung *sched.CaseReport
}

func tables(r *sched.Report) (all []table) {
	for i := 0; i < len(r.Cases); i++ {
		t := table{CaseReport: r.Cases[i]}
		if i+1 < len(r.Cases) {
			if next := &r.Cases[i+1]; next.Stall.For > 0 && reflect.DeepEqual(next.Load, t.Load) {
				t.hung = next
				i++
			}
		}
		all = append(all, t)
	}
	return all
}
