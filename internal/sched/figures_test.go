package sched

import (
	"math"
	"reflect"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		shares          []int
		jain, most, dev float64
	}{
		{[]int{10, 10, 10, 10}, 1, 1, 0},
		{[]int{40, 0, 0, 0}, 0.25, 4, math.Sqrt(300)},
		{[]int{30, 10}, 0.8, 1.5, 10},
		{[]int{0, 0}, 0, 0, 0},
	} {
		var f Figures
		f.spread(tt.shares)
		if math.Abs(f.Jain-tt.jain)+math.Abs(f.MaxOfMean-tt.most)+math.Abs(f.Deviation-tt.dev) > 1e-9 {
			t.Errorf("%v: %+v", tt.shares, f)
		}
	}
}

func TestTimes(t *testing.T) {
	var all []time.Duration
	for i := 200; i > 0; i-- {
		all = append(all, time.Duration(i))
	}
	var f Figures
	f.times(all)
	if want := (Figures{Mean: 100, P50: 100, P97: 194, P99: 198, Max: 200}); f != want {
		t.Errorf("%+v", f)
	}
	f.times(nil)
	var one Figures
	one.times([]time.Duration{5})
	if want := (Figures{Mean: 5, P50: 5, P97: 5, P99: 5, Max: 5}); one != want {
		t.Errorf("%+v", one)
	}
}

// Each figure has its own median.
func TestMedian(t *testing.T) {
	got := median([]Figures{{Jain: 1, P99: 30}, {Jain: 0.2, P99: 10}, {Jain: 0.5, P99: 50}})
	if got.Jain != 0.5 || got.P99 != 30 {
		t.Errorf("%+v", got)
	}
	if got := median([]Figures{{Mean: 10}, {Mean: 20}}); got.Mean != 15 {
		t.Errorf("of two: %+v", got)
	}
	if got := median(nil); got != (Figures{}) {
		t.Errorf("of none: %+v", got)
	}
	// None is forgotten.
	all := Figures{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if got := median([]Figures{all}); got != all {
		t.Errorf("%+v", got)
	}
}

func TestRanked(t *testing.T) {
	w := WayReport{Runs: []RunReport{{Shares: []int{1, 3}}, {Shares: []int{4, 0}}}}
	if got := w.Ranked(); !reflect.DeepEqual(got, []float64{0.875, 0.125}) {
		t.Errorf("%v", got)
	}
}

func TestLatency(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.00ms", 110 * time.Microsecond: "0.11ms", 996 * time.Microsecond: "1.0ms", 4960 * time.Microsecond: "5.0ms",
		14960 * time.Microsecond: "15ms", 999600 * time.Microsecond: "1.0s", 12 * time.Second: "12.0s",
	} {
		if got := Latency(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
	}
}
