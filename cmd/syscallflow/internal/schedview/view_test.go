package schedview

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"onconn/internal/sched"
	"onconn/internal/terminal"
)

// sample is a report with what can be in one.
func sample() *sched.Report {
	way := func(w sched.Way, shares []int, p99 time.Duration) sched.WayReport {
		f := sched.Figures{Jain: 0.25, MaxOfMean: 4, Deviation: 346.4, Mean: p99 / 4, P50: p99 / 5, P97: p99 / 2, P99: p99, Max: 2 * p99, Late: time.Millisecond, Calls: 8.5}
		return sched.WayReport{Way: w, Median: f, Runs: []sched.RunReport{{Figures: f, Shares: shares}}, Curve: []time.Duration{p99 / 10, p99}}
	}
	load := sched.Load{Connections: 100, For: time.Second}
	ways := []sched.WayReport{way(sched.Exclusive, []int{0, 100, 0, 0}, 5*time.Millisecond), way(sched.Hash, []int{30, 20, 26, 24}, 15*time.Millisecond)}
	broken := way(sched.Shared, []int{25, 25, 25, 25}, 110*time.Microsecond)
	broken.Runs[0].Failed, broken.Runs[0].Failure = 3, "read: connection reset by peer \x1b[31m"
	return &sched.Report{
		Kernel: "6.18", CPUs: 2, Seed: 7, Workers: 4, Repeat: 1, Load: [2]string{"0.10 0.20 0.30", "0.50 0.20 0.30"}, Curve: []float64{0, 1},
		Cases: []sched.CaseReport{
			{Case: sched.Case{Name: "idle", Title: "nothing <to> do", Load: sched.Load{Connections: 100}}, Ways: append(ways, broken)},
			{Case: sched.Case{Name: "loaded", Title: "much to do", Load: load}, Ways: ways},
			{Case: sched.Case{Name: "hung", Title: "one stops", Load: load, Stall: sched.Stall{For: 1, Every: 2}}, Ways: ways},
		},
		LeftOut: []sched.LeftOut{
			{Way: sched.Turns, Reason: "steer: making eBPF programs needs CAP_BPF; and more: EPERM"},
			{Way: sched.LeastLoaded, Reason: "steer: making eBPF programs needs CAP_BPF; and more: EPERM"},
		},
	}
}

func TestText(t *testing.T) {
	for _, ascii := range []bool{false, true} {
		var b bytes.Buffer
		if err := WriteText(&b, terminal.Style{ASCII: ascii, Width: 80}, sample()); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		for _, want := range []string{"nothing <to> do", "0.250", "4.00", "5.0ms", "15ms", "0.11ms", "p99 hung", "3 failed",
			"turns and least are left out: making eBPF programs needs CAP_BPF.", "idle: with exclusive one of 4 workers got 100% of the connections",
			"hung: the best p99 is exclusive's, 5.0ms; the worst hash's, 15ms"} {
			if !strings.Contains(got, want) {
				t.Errorf("ascii %t: no %q in\n%s", ascii, want, got)
			}
		}
		if strings.Contains(got, "\x1b") {
			t.Error("an escape came through")
		}
		for line := range strings.Lines(got) {
			line = strings.TrimSuffix(line, "\n")
			if terminal.Cells(line) > 80 {
				t.Errorf("%d cells: %s", terminal.Cells(line), line)
			}
			for _, c := range line {
				if ascii && c > 126 {
					t.Errorf("%q in %s", c, line)
				}
			}
		}
	}
}

// Bars are as long together as there is room, and nothing shows as nothing.
func TestShares(t *testing.T) {
	for _, s := range []terminal.Style{{}, {ASCII: true}} {
		for _, ranked := range [][]float64{{0.25, 0.25, 0.25, 0.25}, {0.99, 0.01, 0, 0}, {0.5, 0.5}, {1, 0, 0, 0, 0, 0, 0, 0}} {
			got := shares(s, ranked, 24)
			if n := terminal.Cells(got); n > 24 || n < 18 {
				t.Errorf("%v: %d cells, %q", ranked, n, got)
			}
			if len(strings.Fields(got)) != len(ranked) {
				t.Errorf("%v: %q", ranked, got)
			}
		}
	}
	if got := shares(terminal.Style{ASCII: true}, []float64{0.99, 0.01, 0, 0}, 24); got != "################# : . ." {
		t.Errorf("%q", got)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, sample()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadJSON(name)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, wrong := range []string{"", "{}", `{"schema":"syscallflow-sched/2"}`} {
		if err := os.WriteFile(name, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadJSON(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// The page is whole, and asks nobody for anything.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{"nothing &lt;to&gt; do", "<svg", "<polyline", "prefers-color-scheme: dark", "3 failed", "p99 hung", "CAP_BPF"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, unwanted := range []string{"http:", "https:", "<script", "<link", "NaN", "Inf", "\x1b"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("%q", unwanted)
		}
	}
	for part := range strings.SplitSeq(got, "<svg") {
		if i := strings.Index(part, "</svg>"); i >= 0 {
			if err := xml.Unmarshal([]byte("<svg"+part[:i]+"</svg>"), new(struct{})); err != nil {
				t.Error(err)
			}
		}
	}
}

// A report without a measurement is shown, too.
func TestEmpty(t *testing.T) {
	empty := &sched.Report{Workers: 4, Cases: []sched.CaseReport{{Case: sched.Case{Name: "idle"}, Ways: []sched.WayReport{{Way: sched.Hash}}}}}
	for _, r := range []*sched.Report{{}, empty} {
		var b bytes.Buffer
		if err := WriteText(&b, terminal.Style{Width: 80}, r); err != nil {
			t.Error(err)
		}
		if err := WriteHTML(&b, r); err != nil || strings.Contains(b.String(), "NaN") {
			t.Error("NaN, or ", err)
		}
	}
}
