package sched

import (
	"testing"
	"time"
)

// One report in which everything holds, and for each claim one in which it
// doesn't.
func TestPredictions(t *testing.T) {
	good := func() map[string]map[Way]*Figures {
		p99 := func(exclusive, shared, hash, least time.Duration) map[Way]*Figures {
			return map[Way]*Figures{Exclusive: {P99: exclusive}, Shared: {P99: shared}, Hash: {P99: hash, P97: hash}, LeastLoaded: {P99: least}}
		}
		all := map[string]map[Way]*Figures{
			"long-lived": {Exclusive: {Deviation: 600}, Shared: {Deviation: 5}, Hash: {Deviation: 19}, LeastLoaded: {Deviation: 0.5}},
			"stall":      p99(40*time.Millisecond, 40*time.Millisecond, 480*time.Millisecond, 450*time.Millisecond),
			"burst":      p99(500, 200, 220, 210),
			"expensive":  p99(130, 80, 150, 100),
			"cheap":      {Exclusive: {Mean: 100}, Shared: {Mean: 110}, Hash: {Mean: 120}, LeastLoaded: {Mean: 125}},
		}
		all["stall"][LeastLoaded].P97 = 40 * time.Millisecond
		return all
	}
	report := func(figures map[string]map[Way]*Figures) *Report {
		r := &Report{CPUs: 2}
		for _, c := range Hermes(2) {
			report := CaseReport{Case: c}
			for _, w := range HermesWays() {
				report.Ways = append(report.Ways, WayReport{Way: w, Median: *figures[c.Name][w]})
			}
			r.Cases = append(r.Cases, report)
		}
		return r
	}
	all := report(good()).Predictions()
	if len(all) != 8 {
		t.Fatalf("%d predictions", len(all))
	}
	for i, p := range all {
		if p.Number != i+1 || !p.Held() {
			t.Errorf("%+v", p)
		}
	}
	for _, bad := range []struct {
		number int
		spoil  func(map[string]map[Way]*Figures)
	}{
		{1, func(m map[string]map[Way]*Figures) { m["long-lived"][Exclusive].Deviation = 100 }},
		{2, func(m map[string]map[Way]*Figures) { m["long-lived"][Hash].Deviation = 9 }},
		{2, func(m map[string]map[Way]*Figures) { m["long-lived"][Hash].Deviation = 31 }},
		{3, func(m map[string]map[Way]*Figures) { m["long-lived"][LeastLoaded].Deviation = 1 }},
		{3, func(m map[string]map[Way]*Figures) { m["long-lived"][Shared].Deviation = 10 }},
		{4, func(m map[string]map[Way]*Figures) { m["stall"][Hash].P99 = 300 * time.Millisecond }},
		{4, func(m map[string]map[Way]*Figures) { m["stall"][LeastLoaded].P99 = 300 * time.Millisecond }},
		{4, func(m map[string]map[Way]*Figures) { m["stall"][LeastLoaded].P97 = 50 * time.Millisecond }},
		{4, func(m map[string]map[Way]*Figures) { m["stall"][Shared].P99 = 460 * time.Millisecond }},
		{5, func(m map[string]map[Way]*Figures) { m["burst"][Shared].P99 = 251 }},
		{5, func(m map[string]map[Way]*Figures) { m["burst"][LeastLoaded].P99 = 190 }},
		{6, func(m map[string]map[Way]*Figures) { m["expensive"][Shared].P99 = 101 }},
		{6, func(m map[string]map[Way]*Figures) { m["expensive"][Exclusive].P99 = 99 }},
		{6, func(m map[string]map[Way]*Figures) { m["expensive"][Exclusive].P99 = 160 }},
		{6, func(m map[string]map[Way]*Figures) { m["expensive"][Hash].P99 = 129 }},
		{7, func(m map[string]map[Way]*Figures) { m["cheap"][LeastLoaded].Mean = 140 }},
		{8, func(m map[string]map[Way]*Figures) { m["cheap"][Exclusive].Mean = 130 }},
	} {
		figures := good()
		bad.spoil(figures)
		all := report(figures).Predictions()
		if p := all[0]; p.Number != bad.number || p.Held() || !all[1].Held() {
			t.Errorf("spoilt %d, and the first is %+v, the next %+v", bad.number, p, all[1])
		}
	}

	// Without all ways, or in other cases, there is nothing to judge.
	r := report(good())
	r.Cases[0].Ways = r.Cases[0].Ways[:3]
	r.Cases[1].Case = r.Cases[1].Scale(0.5)
	if got := r.Predictions(); len(got) != 4 {
		t.Errorf("%+v", got)
	}
}
