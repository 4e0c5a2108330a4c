package sched

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Figures are what is known of a run, or the medians of several.
type Figures struct {
	Jain      float64 `json:"jain"`          // Jain's index of the connections of the workers: 1 is even, 1/n one has all
	MaxOfMean float64 `json:"max_over_mean"` // the most connections of a worker, over the mean
	Deviation float64 `json:"deviation"`     // standard deviation of the connections of the workers

	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P97  time.Duration `json:"p97_ns"`
	P99  time.Duration `json:"p99_ns"`
	Max  time.Duration `json:"max_ns"`

	Late  time.Duration `json:"late_p99_ns"`                    // how late clients began requests, 99th percentile: it is in the times
	Calls float64       `json:"calls_per_connection,omitempty"` // system calls of workers and primary
}

// spread computes what is said of shares.
func (f *Figures) spread(shares []int) {
	sum, squares, most := 0.0, 0.0, 0
	for _, n := range shares {
		sum += float64(n)
		squares += float64(n) * float64(n)
		most = max(most, n)
	}
	if sum == 0 {
		return
	}
	n := float64(len(shares))
	f.Jain = sum * sum / (n * squares)
	f.MaxOfMean = float64(most) * n / sum
	f.Deviation = math.Sqrt(max(0, squares/n-sum*sum/n/n))
}

// times computes what is said of latencies, which it sorts.
func (f *Figures) times(latencies []time.Duration) {
	if len(latencies) == 0 {
		return
	}
	slices.Sort(latencies)
	sum := 0.0
	for _, d := range latencies {
		sum += float64(d)
	}
	f.Mean = time.Duration(sum / float64(len(latencies)))
	f.P50, f.P97, f.P99 = quantile(latencies, 0.50), quantile(latencies, 0.97), quantile(latencies, 0.99)
	f.Max = latencies[len(latencies)-1]
}

// quantile is the least value that a part of the sorted ones doesn't exceed.
func quantile(sorted []time.Duration, part float64) time.Duration {
	i := int(math.Ceil(part*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// curveAt are the parts of which a curve has the latencies.
func curveAt() (parts []float64) {
	for p := 0.0; p < 0.9; p += 0.05 {
		parts = append(parts, p)
	}
	for p := 0.90; p < 0.9999; p += 0.005 {
		parts = append(parts, p)
	}
	return append(parts, 1)
}

func curve(sorted []time.Duration) (all []time.Duration) {
	for _, p := range curveAt() {
		if len(sorted) > 0 {
			all = append(all, quantile(sorted, p))
		}
	}
	return all
}

// median is that of each figure for itself.
func median(all []Figures) (m Figures) {
	float := func(get func(Figures) float64) float64 {
		values := make([]float64, len(all))
		for i, f := range all {
			values[i] = get(f)
		}
		slices.Sort(values)
		half := len(values) / 2
		if len(values)%2 == 1 {
			return values[half]
		}
		return (values[half-1] + values[half]) / 2
	}
	if len(all) == 0 {
		return m
	}
	duration := func(get func(Figures) time.Duration) time.Duration {
		return time.Duration(float(func(f Figures) float64 { return float64(get(f)) }))
	}
	m.Jain = float(func(f Figures) float64 { return f.Jain })
	m.MaxOfMean = float(func(f Figures) float64 { return f.MaxOfMean })
	m.Deviation = float(func(f Figures) float64 { return f.Deviation })
	m.Mean = duration(func(f Figures) time.Duration { return f.Mean })
	m.P50 = duration(func(f Figures) time.Duration { return f.P50 })
	m.P97 = duration(func(f Figures) time.Duration { return f.P97 })
	m.P99 = duration(func(f Figures) time.Duration { return f.P99 })
	m.Max = duration(func(f Figures) time.Duration { return f.Max })
	m.Late = duration(func(f Figures) time.Duration { return f.Late })
	m.Calls = float(func(f Figures) float64 { return f.Calls })
	return m
}

// Latency writes a time with what matters of it: "0.11ms", "5.0ms", "41ms", "1.5s".
func Latency(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 0.995:
		return fmt.Sprintf("%.2fms", ms)
	case ms < 9.95:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0fms", ms)
	default:
		return fmt.Sprintf("%.1fs", ms/1000)
	}
}

// Ranked are the shares of connections from the fullest worker to the emptiest,
// over all runs.
func (w WayReport) Ranked() []float64 {
	var ranked []float64
	for _, r := range w.Runs {
		shares := slices.Sorted(slices.Values(r.Shares))
		slices.Reverse(shares)
		if ranked == nil {
			ranked = make([]float64, len(shares))
		}
		all := 0
		for _, n := range shares {
			all += n
		}
		for i, n := range shares {
			ranked[i] += float64(n) / float64(max(all, 1)) / float64(len(w.Runs))
		}
	}
	return ranked
}
