package main

import (
	"slices"
	"strings"
	"testing"
)

func TestVerdicts(t *testing.T) {
	table, r := sample()
	_, worse := sample()
	worse.Windows[1].CPU, worse.Windows[3].CPU = 7, 21
	_, broken := sample()
	broken.Broken = "it ended"
	const want = `| load | ours | against | what | at most | measured, run by run | holds |
|---|---|---|---|---|---|---|
| x | ours | theirs | CPU | 0.50 | 0.50 [0.50–0.50], 0.70 [0.60–0.70], – | **in 1 of 3** |
| x | ours | theirs | p99 | 0.90 | 1.00 [1.00–1.00], 1.00 [1.00–1.00], – | **no** |
| x | ours | gone | CPU | 1.00 | –, –, – | not measured |
| x | theirs | ours | CPU | – | 2.00 [2.00–2.00], 1.43 [1.43–1.71], – | reported |
`
	if got := verdictTable(verdicts([]Table{table}, map[string][]*Run{"x": {r, worse, broken}})); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestMemoryVerdicts(t *testing.T) {
	table := Table{Name: "m", Memory: true, Servers: []string{"c", "ours"}, Bounds: []Bound{{"ours", "c", Bytes, 64}, {"ours", "c", Memory, 1}}}
	r := &Run{Bytes: map[string][]float64{"c": {100, 102, 98}, "ours": {160, 150, 170}}}
	got := verdictTable(verdicts([]Table{table}, map[string][]*Run{"m": {r}}))
	for _, want := range []string{"| bytes | 64 more | 60 | yes |", "| memory | 1.00 | 1.60 | **no** |"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// TestErrors: what is fast and wrong doesn't hold without a word of it.
func TestErrors(t *testing.T) {
	table, r := sample()
	r.Windows[1].Failed = map[string]int{"reset": 1}
	_, holds := table.Bounds[0].judge([]*Run{r})
	if holds != "yes, **with errors**" {
		t.Error(holds)
	}
}

// TestKept: one table alone is measured again, and the lines of the others stay.
func TestKept(t *testing.T) {
	const old = "A machine.\n\n| load | ours |\n|---|---|\n| close | 1 |\n| close | 2 |\n| http | 3 |\n| gone | 4 |\n"
	got := kept(old, []verdict{{"http", "| http | new |\n"}, {"memory", "| memory | new |\n"}})
	want := []verdict{{"close", "| close | 1 |\n"}, {"close", "| close | 2 |\n"}, {"http", "| http | new |\n"}, {"memory", "| memory | new |\n"}}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
