package main

import (
	"errors"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := pace{all: 4}
	now := time.Now()
	for i, want := range []string{"", " (30s left)", " (20s left)", " (10s left)", ""} {
		if got := p.left(now.Add(time.Duration(i) * 10 * time.Second)); got != want {
			t.Errorf("step %d: %q", i, got)
		}
	}
}

// TestExpect: as many steps are expected as there are.
func TestExpect(t *testing.T) {
	b := &bench{rounds: 5, missing: map[string]error{"gone": errors.New("missing: it")}}
	b.expect([]Table{{Servers: []string{"a", "b", "gone"}}, {Servers: []string{"a"}, Memory: true}}, 2)
	if want := 2*2*(5+1) + 2*3; b.pace.all != want {
		t.Errorf("%d steps, want %d", b.pace.all, want)
	}
}
