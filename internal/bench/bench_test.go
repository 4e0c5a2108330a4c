package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"onconn/internal/bench/peer"
)

func TestSpread(t *testing.T) {
	if got := spread([]float64{4, 1, 3, 2, 5}); got != (Spread{2, 3, 4}) {
		t.Errorf("%+v", got)
	}
	if got := spread([]float64{1, 2}); got != (Spread{1.25, 1.5, 1.75}) {
		t.Errorf("%+v", got)
	}
	if got := spread(nil); got != (Spread{}) {
		t.Errorf("of nothing %+v", got)
	}
}

// Ratios are within rounds: when the whole machine is slower in one, they aren't.
func TestRatios(t *testing.T) {
	windows := []Window{
		{Server: "ours", Round: 0, CPU: 20}, {Server: "theirs", Round: 0, CPU: 10},
		{Server: "theirs", Round: 1, CPU: 100}, {Server: "ours", Round: 1, CPU: 200},
		{Server: "ours", Round: 2, CPU: 40}, // without its pair
	}
	if got := ratios(windows, "ours", "theirs", cpu); got != (Spread{2, 2, 2}) {
		t.Errorf("%+v", got)
	}
}

// TestTables: each names servers that there are, and bounds between them.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range tables {
		if seen[tt.Name] {
			t.Errorf("two tables are called %s", tt.Name)
		}
		seen[tt.Name] = true
		for _, s := range tt.Servers {
			if !slices.ContainsFunc(peer.All(), func(p peer.Peer) bool { return p.Name == s }) {
				t.Errorf("table %s: there is no server %s", tt.Name, s)
			}
		}
		for _, b := range tt.Bounds {
			if !slices.Contains(tt.Servers, b.Ours) || !slices.Contains(tt.Servers, b.Theirs) {
				t.Errorf("table %s: %s and %s aren't both in it", tt.Name, b.Ours, b.Theirs)
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	table := Table{Name: "t", Title: "A title", Servers: []string{"theirs", "ours", "absent"}, Bounds: []Bound{
		{"ours", "theirs", CPU, 1.5}, {"ours", "theirs", P99, 1.5}, {"ours", "absent", CPU, 1}, {"ours", "theirs", CPU, 0},
	}}
	run := func(cpu float64) *Run {
		return &Run{
			Missing: map[string]string{"absent": "missing: it"},
			Windows: []Window{
				{Server: "theirs", Done: 9, CPU: 10, P99: time.Millisecond},
				{Server: "ours", Done: 9, CPU: cpu, P99: time.Millisecond, Failed: map[string]int{"reset": 2}, Noise: 0.5},
			},
		}
	}
	runs := []*Run{run(10), run(20)}
	got := verdicts([]Table{table}, map[string][]*Run{"t": runs})
	for _, want := range []string{
		"| t | ours | theirs | CPU | 1.50 | 1.00 [1.00–1.00], 2.00 [2.00–2.00] | **in 1 of 2** |\n",
		"| t | ours | theirs | p99 | 1.50 | 1.00 [1.00–1.00], 1.00 [1.00–1.00] | yes |\n",
		"| t | ours | absent | CPU | 1.00 | –, – | **not measured** |\n",
		"| t | ours | theirs | CPU | – | 1.00 [1.00–1.00], 2.00 [2.00–2.00] | reported |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no line %q in\n%s", want, got)
		}
	}
	text := markdown(table, runs)
	for _, want := range []string{
		"**A title**\n", "| ours | 20.0 [20.0–20.0] | 2.00 [2.00–2.00] |", "| 2 reset of 9 |",
		"Not measured: absent (missing: it).", "1 of 2 windows were noisy",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
}

func TestMemoryVerdict(t *testing.T) {
	table := Table{Name: "m", Servers: []string{"c", "ours"}, Memory: true, Bounds: []Bound{{"ours", "c", Bytes, 64}, {"ours", "c", Memory, 1}}}
	r := &Run{Bytes: map[string][]float64{"c": {10}, "ours": {74, 80, 60}}}
	got := verdicts([]Table{table}, map[string][]*Run{"m": {r}})
	for _, want := range []string{"| 64 more | 64 | yes |", "| 1.00 | 7.40 | **no** |"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestInsert(t *testing.T) {
	document := "before\n<!-- bench: a -->\nold\n<!-- /bench -->\nbetween\n<!-- bench: b -->\n<!-- /bench -->\n"
	got, err := insert(document, "b", "new\n")
	want := "before\n<!-- bench: a -->\nold\n<!-- /bench -->\nbetween\n<!-- bench: b -->\n\nnew\n\n<!-- /bench -->\n"
	if err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "<!-- bench: b -->\n"} {
		if _, err := insert(bad, "b", "new"); err == nil {
			t.Errorf("into %q", bad)
		}
	}
}

// TestDocument: BENCHMARKS.md has a place for every table.
func TestDocument(t *testing.T) {
	o := options{write: "../../BENCHMARKS.md"}
	if _, err := o.document(tables); err != nil {
		t.Error(err)
	}
}

func TestSplit(t *testing.T) {
	servers, clients, err := split("split")
	all, everyone, _ := split("all")
	if err != nil || servers.Count() == 0 || clients.Count() == 0 || all != everyone {
		t.Fatal(servers.Count(), clients.Count(), err)
	}
	if all.Count() > 1 && servers.Count()+clients.Count() != all.Count() {
		t.Errorf("%d and %d of %d CPUs", servers.Count(), clients.Count(), all.Count())
	}
	if _, _, err := split("none"); err == nil {
		t.Error("none")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--tables", "no-such"}, {"--runs", "0"}, {"--cpus", "none"}, {"extra"}} {
		root := newRoot()
		root.SetArgs(args)
		if err := root.Execute(); err == nil {
			t.Errorf("%v is not refused", args)
		}
	}
	root := newRoot()
	root.SetArgs([]string{"--tables", "memory", "--write", t.TempDir() + "/none"})
	if err := root.Execute(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into a file that isn't there: %v", err)
	}
}
