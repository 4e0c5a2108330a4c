package main

import (
	"fmt"
	"slices"
)

// A Spread is a median and its quartiles.
type Spread struct{ Q1, Median, Q3 float64 }

func spread(values []float64) Spread {
	v := slices.Sorted(slices.Values(values))
	return Spread{quantile(v, 0.25), quantile(v, 0.5), quantile(v, 0.75)}
}

// quantile interpolates between neighbours of a sorted list.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 == len(v) {
		return v[i]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

// ratios divides what one server has in each round by what another has in it, where both
// windows count.
func ratios(windows []Window, ours, theirs string, of func(Window) float64) Spread {
	base := map[int]float64{}
	for _, w := range windows {
		if w.Server == theirs && w.counts() {
			base[w.Round] = of(w)
		}
	}
	var r []float64
	for _, w := range windows {
		if w.Server == ours && w.counts() && base[w.Round] > 0 {
			r = append(r, of(w)/base[w.Round])
		}
	}
	return spread(r)
}

func of(windows []Window, server string, what func(Window) float64) Spread {
	var v []float64
	for _, w := range windows {
		if w.Server == server && w.counts() {
			v = append(v, what(w))
		}
	}
	return spread(v)
}

func (s Spread) format(digits int) string {
	return fmt.Sprintf("%.*f [%.*f–%.*f]", digits, s.Median, digits, s.Q1, digits, s.Q3)
}
