package sched

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// A Prediction is one of those that docs/hermes.md made before any run. It holds
// if all of its claims do.
type Prediction struct {
	Number int     `json:"number"`
	Case   string  `json:"case"`
	Claims []Claim `json:"claims"`
}

// A Claim is a part of a prediction, with what was measured: medians.
type Claim struct {
	Claim    string `json:"claim"`
	Measured string `json:"measured"`
	Held     bool   `json:"held"`
}

// Held reports whether all claims hold.
func (p Prediction) Held() bool {
	for _, c := range p.Claims {
		if !c.Held {
			return false
		}
	}
	return true
}

// Predictions judges those whose case is in the report as it is meant, with all
// of its ways: the missed ones first.
func (r *Report) Predictions() (all []Prediction) {
	var held []Prediction
	for _, c := range r.Cases {
		judge := judges[c.Name]
		if !r.asMeant(c.Case) {
			continue
		}
		by := map[Way]Figures{}
		for _, w := range c.Ways {
			by[w.Way] = w.Median
		}
		for _, w := range HermesWays() {
			if _, ok := by[w]; !ok {
				judge = nil
			}
		}
		if judge == nil {
			continue
		}
		for _, p := range judge(by) {
			p.Case = c.Name
			if p.Held() {
				held = append(held, p)
			} else {
				all = append(all, p)
			}
		}
	}
	return append(all, held...)
}

// asMeant reports whether a case is one of [Hermes] and not a shorter one.
func (r *Report) asMeant(c Case) bool {
	return slices.ContainsFunc(Hermes(r.CPUs), func(h Case) bool { return reflect.DeepEqual(c, h) })
}

// near is what "near" means to a duration: a fifth more or less.
func near(d, to time.Duration) bool { return d >= to*4/5 && d <= to*6/5 }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

var judges = map[string]func(map[Way]Figures) []Prediction{
	"long-lived": func(by map[Way]Figures) []Prediction {
		sd := func(w Way) string { return fmt.Sprintf("%s %.1f", w, by[w].Deviation) }
		return []Prediction{
			{Number: 1, Claims: []Claim{
				{"the deviation of exclusive is above 300", sd(Exclusive), by[Exclusive].Deviation > 300}}},
			{Number: 2, Claims: []Claim{
				{"that of hash is 10 to 30", sd(Hash), by[Hash].Deviation >= 10 && by[Hash].Deviation <= 30}}},
			{Number: 3, Claims: []Claim{
				{"that of least is below 1", sd(LeastLoaded), by[LeastLoaded].Deviation < 1},
				{"that of shared is below 10", sd(Shared), by[Shared].Deviation < 10}}},
		}
	},
	"stall": func(by map[Way]Figures) []Prediction {
		p99 := p99s(by)
		hash, least := by[Hash], by[LeastLoaded]
		best := min(hash.P99, least.P99)
		return []Prediction{{Number: 4, Claims: []Claim{
			{"the p99 of hash is the worst", p99, worst(by, Hash)},
			{"and near 500 ms", Latency(hash.P99), near(hash.P99, 500*time.Millisecond)},
			{"that of least is near the stall too", Latency(least.P99), near(least.P99, 500*time.Millisecond)},
			{"the p97 of least is below a tenth of hash's", Latency(least.P97) + " and " + Latency(hash.P97), least.P97 < hash.P97/10},
			{"shared and exclusive beat both at p99", p99, by[Shared].P99 < best && by[Exclusive].P99 < best},
		}}}
	},
	"burst": func(by map[Way]Figures) []Prediction {
		twice := true
		for w, f := range by {
			twice = twice && (w == Exclusive || by[Exclusive].P99 >= 2*f.P99)
		}
		return []Prediction{{Number: 5, Claims: []Claim{
			{"the p99 of exclusive is worse than any other by a factor of 2", p99s(by), twice},
			{"that of least is at most 10 % better than hash's", fmt.Sprintf("%.2f of it", ratio(by[LeastLoaded].P99, by[Hash].P99)),
				ratio(by[LeastLoaded].P99, by[Hash].P99) >= 0.9},
		}}}
	},
	"expensive": func(by map[Way]Figures) []Prediction {
		best := true
		for w, f := range by {
			best = best && (w == Shared || by[Shared].P99 <= f.P99)
		}
		next := true
		for w, f := range by {
			next = next && (w == Shared || w == LeastLoaded || by[LeastLoaded].P99 <= f.P99)
		}
		return []Prediction{{Number: 6, Claims: []Claim{
			{"the p99 of shared is the best", p99s(by), best},
			{"that of least is next", p99s(by), next},
			{"that of hash is the worst", p99s(by), worst(by, Hash)},
			{"and 1.3 times least's or more", fmt.Sprintf("%.2f times", ratio(by[Hash].P99, by[LeastLoaded].P99)),
				ratio(by[Hash].P99, by[LeastLoaded].P99) >= 1.3},
		}}}
	},
	"cheap": func(by map[Way]Figures) []Prediction {
		lowest := by[Exclusive].Mean
		for _, f := range by {
			lowest = min(lowest, f.Mean)
		}
		r := ratio(by[LeastLoaded].Mean, by[Hash].Mean)
		return []Prediction{
			{Number: 7, Claims: []Claim{
				{"the means of least and hash differ by less than 10 %", fmt.Sprintf("%.2f times", r), r > 0.9 && r < 1.1}}},
			{Number: 8, Claims: []Claim{
				{"the mean of exclusive is the lowest or within 10 % of it", fmt.Sprintf("%.2f times", ratio(by[Exclusive].Mean, lowest)),
					ratio(by[Exclusive].Mean, lowest) <= 1.1}}},
		}
	},
}

func worst(by map[Way]Figures, w Way) bool {
	for _, f := range by {
		if f.P99 > by[w].P99 {
			return false
		}
	}
	return true
}

func p99s(by map[Way]Figures) (s string) {
	for i, w := range HermesWays() {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %s", w, Latency(by[w].P99))
	}
	return s
}
