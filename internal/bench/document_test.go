package main

import "testing"

// TestDocument: BENCHMARKS.md has a place for each table.
func TestDocument(t *testing.T) {
	o := options{write: "../../BENCHMARKS.md"}
	if _, err := o.document(tables); err != nil {
		t.Error(err)
	}
}
