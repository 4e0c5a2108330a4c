package backlog

import (
	"math"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func TestAdvise(t *testing.T) {
	for _, tt := range []struct {
		name string
		load Load
		want Advice
	}{
		{"nothing", Load{}, Advice{Backlog: 1, Memory: 6000}},
		{"a stall of 80 ms", Load{Arrivals: 1500, Stall: 80 * time.Millisecond},
			Advice{Backlog: 153, Mean: 120, Margin: 3 * math.Sqrt(120), Memory: 154 * 3000}},
		{"a promise", Load{Arrivals: 100, Accepts: 200, Stall: time.Second, Promise: 300 * time.Millisecond, Bytes: 1461},
			Advice{Backlog: 130, Mean: 100, Margin: 30, Wait: 650 * time.Millisecond, Most: 60, Memory: 131 * (3000 + 1461 + 2*832)}},
		{"overloaded", Load{Arrivals: 92, Accepts: 54, Stall: time.Second},
			Advice{Backlog: 121, Mean: 92, Margin: 3 * math.Sqrt(92), Overloaded: true,
				FillsIn: seconds(121. / 38), Wait: seconds(121. / 54), Memory: 122 * 3000}},
		{"as many as it accepts", Load{Arrivals: 54, Accepts: 54},
			Advice{Backlog: 1, Wait: seconds(1. / 54), Memory: 6000}},
		{"more than an int of C", Load{Arrivals: math.MaxFloat64, Stall: math.MaxInt64, Bytes: math.MaxInt},
			Advice{Backlog: math.MaxInt32, Mean: math.MaxFloat64, Margin: 3 * math.Sqrt(math.MaxFloat64), Memory: queueMemory(math.MaxInt32, math.MaxInt)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Advise(tt.load); err != nil || got != tt.want {
				t.Errorf("%+v, %v;\nnot %+v", got, err, tt.want)
			}
		})
	}
}

// load makes any numbers valid: those of testing/quick reach the limits of their types.
func load(arrivals, accepts float64, stall, promise int64, bytes int) Load {
	d := func(n int64) time.Duration { return time.Duration(n & math.MaxInt64) }
	return Load{math.Abs(arrivals), math.Abs(accepts), d(stall), d(promise), bytes & math.MaxInt}
}

func TestAdviseProperties(t *testing.T) {
	advise := func(l Load) Advice {
		a, err := Advise(l)
		if err != nil {
			t.Fatalf("%+v: %v", l, err)
		}
		return a
	}
	holds := func(scale float64) func(float64, float64, int64, int64, int, float64, int64) bool {
		return func(arrivals, accepts float64, stall, promise int64, bytes int, more float64, longer int64) bool {
			l := load(arrivals*scale, accepts*scale, stall, promise, bytes)
			a := advise(l)
			busier, slower := l, l
			busier.Arrivals = max(l.Arrivals, math.Abs(more*scale))
			slower.Stall = max(l.Stall, time.Duration(longer&math.MaxInt64))
			return a.Backlog >= 1 && a.Backlog <= math.MaxInt32 &&
				(float64(a.Backlog) >= a.Mean || a.Backlog == math.MaxInt32) &&
				advise(busier).Backlog >= a.Backlog && advise(slower).Backlog >= a.Backlog &&
				a.Overloaded == (l.Accepts > 0 && l.Arrivals > l.Accepts) &&
				a.FillsIn >= 0 && a.Wait >= 0 && a.Most >= 0 && a.Memory > 0 &&
				a.Mean <= math.MaxFloat64 && a.Margin <= math.MaxFloat64
		}
	}
	// Rates of the greatest floats, of networks, and next to nothing.
	for _, scale := range []float64{1, 1e-303, 1e-310, 1e-320} {
		if err := quick.Check(holds(scale), nil); err != nil {
			t.Errorf("scale %g: %v", scale, err)
		}
	}
}

func TestAdviseRefuses(t *testing.T) {
	for _, tt := range []struct {
		load Load
		name string
	}{
		{Load{Arrivals: -1}, "Arrivals is -1"},
		{Load{Arrivals: math.NaN()}, "Arrivals is NaN"},
		{Load{Accepts: math.Inf(1)}, "Accepts is +Inf"},
		{Load{Stall: -time.Second}, "Stall is -1s"},
		{Load{Promise: -1}, "Promise is -1ns"},
		{Load{Bytes: -1}, "Bytes is -1"},
	} {
		a, err := Advise(tt.load)
		if err == nil || !strings.Contains(err.Error(), tt.name) || a != (Advice{}) {
			t.Errorf("%+v: %+v, %v", tt.load, a, err)
		}
	}
}
