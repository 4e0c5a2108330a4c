package lesson

import (
	"fmt"
	"time"
)

// A Fact is something that was measured in this run.
type Fact struct {
	ID       string `json:"id"`
	What     string `json:"what"`
	Measured any    `json:"measured"` // yes/no, a number, a text
	Unit     string `json:"unit,omitempty"`
	Expected string `json:"expected,omitempty"` // empty: the text claims nothing about it
	// AsExpected is nil where nothing is expected.
	AsExpected *bool `json:"as_expected,omitempty"`
}

// value notes what was measured, whatever it is.
func (r *Run) value(id, what string, measured any, unit string) {
	r.Facts = append(r.Facts, Fact{ID: id, What: what, Measured: plainValue(measured), Unit: unit})
}

// equal notes a fact that the text gives a value for.
func equal[T comparable](r *Run, id, what string, measured, expected T) {
	r.holds(id, what, measured, "", shown(expected), measured == expected)
}

// holds notes a fact of which the text says something.
func (r *Run) holds(id, what string, measured any, unit, expected string, ok bool) {
	r.Facts = append(r.Facts, Fact{ID: id, What: what, Measured: plainValue(measured), Unit: unit, Expected: expected, AsExpected: &ok})
}

// plainValue makes a time a number of milliseconds.
func plainValue(v any) any {
	if d, ok := v.(time.Duration); ok {
		return float64(d.Microseconds()) / 1000
	}
	return v
}

// shown is a value for a reader.
func shown(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case float64:
		if v >= 100 {
			return fmt.Sprintf("%.0f", v)
		}
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprint(v)
}

// String is "queue: 6 connections".
func (f Fact) String() string {
	text := f.What + ": " + shown(f.Measured)
	if f.Unit != "" {
		text += " " + f.Unit
	}
	return text
}

// Differs reports whether it isn't as the text has it.
func (f Fact) Differs() bool { return f.AsExpected != nil && !*f.AsExpected }

// Differing are those of the named facts that are not as expected.
func (r *Run) Differing(ids ...string) (facts []Fact) {
	for _, f := range r.Facts {
		for _, id := range ids {
			if f.ID == id && f.Differs() {
				facts = append(facts, f)
			}
		}
	}
	return facts
}
