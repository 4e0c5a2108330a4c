package main

import (
	"testing"
	"time"
)

func window(server string, round int, cpu float64) Window {
	return Window{Server: server, Round: round, Done: few, PerSecond: 1000, CPU: cpu, P50: time.Millisecond, P99: 2 * time.Millisecond}
}

func sample() (Table, *Run) {
	t := Table{
		Name: "x", Title: "A title", Servers: []string{"theirs", "ours", "gone"},
		Bounds: []Bound{{"ours", "theirs", CPU, 0.5}, {"ours", "theirs", P99, 0.9}, {"ours", "gone", CPU, 1}, {"theirs", "ours", CPU, 0}},
	}
	r := &Run{Missing: map[string]string{"gone": "missing: gone: apt-get install gone"}}
	for round, noise := range []float64{1, 3, 2} { // a round that is slow is slow for both
		r.Windows = append(r.Windows, window("theirs", round, 10*noise), window("ours", round, 5*noise))
	}
	return t, r
}

func TestMarkdown(t *testing.T) {
	table, r := sample()
	table.Servers = append(table.Servers, "stuck")
	r.Windows = append(r.Windows, Window{Server: "stuck", Failed: map[string]int{"timeout": 64}})
	r.Windows[1].Failed = map[string]int{"reset": 2, "length": 1}
	r.Windows[1].Done = few - 1
	r.Windows[2].Noise = noisy
	r.Windows[3].Late = 7
	const want = `**A title**

| server | CPU, µs | × theirs | a second | p50 | p99 | errors |
|---|---|---|---|---|---|---|
| theirs | 20.0 [15.0–25.0] | 1.00 [1.00–1.00] | 1000 | 1.00 ms | 2.00 ms | 0 |
| ours | 12.5 [11.2–13.8] | 0.50 [0.50–0.50] | 1000 | 1.00 ms | 2.00 ms | 1 length, 2 reset of 1199 |
| stuck | – | – | – | – | – | 64 timeout of 0 |

Not measured: gone (missing: gone: apt-get install gone).

1 of 7 windows were noisy: others took more than 20 % of a CPU.

2 of 7 windows had fewer than 400 connections, and have no say.

The client began 7 of 2399 more than a millisecond late, which counts as latency.
`
	if got := markdown(table, []*Run{r}); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	got := markdown(table, []*Run{r, {Broken: "table x: it fell\nover\n"}})
	if got != want+"\nA run ended early: table x: it fell over\n" {
		t.Errorf("with a second run that broke:\n%s", got)
	}
}

func TestInsert(t *testing.T) {
	const document = "before\n<!-- bench: a -->\nold\n<!-- /bench -->\nbetween\n<!-- bench: b -->\n<!-- /bench -->\nafter\n"
	got, err := insert(document, "b", "new\n")
	if err != nil {
		t.Fatal(err)
	}
	const want = "before\n<!-- bench: a -->\nold\n<!-- /bench -->\nbetween\n<!-- bench: b -->\n\nnew\n\n<!-- /bench -->\nafter\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if again, err := insert(got, "b", "new"); again != want || err != nil {
		t.Errorf("again: %v\n%s", err, again)
	}
	for _, broken := range []string{"", "<!-- bench: b -->\nno end"} {
		if _, err := insert(broken, "b", "new"); err == nil {
			t.Errorf("%q was written to", broken)
		}
	}
}
