package sched

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestActions(t *testing.T) {
	work := []Work{{0.1, 50 * time.Millisecond}, {0.9, time.Millisecond}}
	l := Load{Connections: 2000, For: 2 * time.Second, Work: work}
	all := l.actions(7)
	if !reflect.DeepEqual(all, l.actions(7)) || reflect.DeepEqual(all, l.actions(8)) {
		t.Error("the seed alone decides")
	}
	if len(all) != 2000 || !slices.IsSortedFunc(all, func(a, b action) int { return int(a.due - b.due) }) {
		t.Errorf("%d actions, or not by time", len(all))
	}
	expensive, early := 0, 0
	for _, a := range all {
		if a.cpu == 50*time.Millisecond {
			expensive++
		}
		if a.due < time.Second {
			early++
		}
		if a.due < 0 || a.due >= l.For || !a.measured {
			t.Fatalf("%+v", a)
		}
	}
	if expensive < 150 || expensive > 250 || early < 900 || early > 1100 {
		t.Errorf("of 2000, %d are expensive and %d early", expensive, early)
	}
}

func TestActionsOfThoseThatStay(t *testing.T) {
	work := []Work{{1, time.Millisecond}}
	l := Load{Connections: 10, For: time.Second, Work: work, Stay: true, Again: 300 * time.Millisecond}
	measured, times := 0, map[int][]time.Duration{}
	for _, a := range l.actions(1) {
		times[a.conn] = append(times[a.conn], a.due)
		if a.measured {
			measured++
		}
	}
	if measured != 10 {
		t.Errorf("%d first requests of 10", measured)
	}
	for conn, due := range times {
		for i := 1; i < len(due); i++ {
			if due[i]-due[i-1] != l.Again {
				t.Errorf("%d: %v", conn, due)
			}
		}
		if last := due[len(due)-1]; last >= l.For || last+l.Again < l.For {
			t.Errorf("%d: %v", conn, due)
		}
	}

	l.Rounds = 2
	together := map[time.Duration]int{}
	for _, a := range l.actions(1) {
		if a.measured {
			together[a.due]++
		} else if a.cpu != 0 {
			t.Errorf("the first request costs: %+v", a)
		}
	}
	if want := map[time.Duration]int{1300 * time.Millisecond: 10, 1600 * time.Millisecond: 10}; !reflect.DeepEqual(together, want) {
		t.Errorf("%v", together)
	}
}

// The cases are those of docs/hermes.md.
func TestHermes(t *testing.T) {
	busy := func(c Case) float64 {
		return float64(c.Load.Connections) / c.Load.For.Seconds() * mean(c.Load.Work).Seconds()
	}
	cases := Hermes(2)
	if len(cases) != 5 {
		t.Fatal(len(cases))
	}
	if l := cases[0].Load; l.Connections != 2000 || l.For != 20*time.Second || !l.Stay {
		t.Errorf("%+v", l)
	}
	if c := cases[1]; math.Abs(busy(c)-1.4) > 0.01 || c.Stall != (Stall{500 * time.Millisecond, 2 * time.Second}) {
		t.Errorf("%v CPUs busy, %+v", busy(c), c.Stall)
	}
	if l := cases[2].Load; l.Connections != 240 || l.Again != time.Second || mean(l.Work) != 2*time.Millisecond || l.Rounds == 0 {
		t.Errorf("%+v", l)
	}
	if c := cases[3]; math.Abs(busy(c)-1.6) > 0.01 || mean(c.Load.Work) != 5900*time.Microsecond {
		t.Errorf("%v CPUs busy, %+v", busy(c), c.Load.Work)
	}
	if l := cases[4].Load; float64(l.Connections)/l.For.Seconds() != 3000 || mean(l.Work) != 0 {
		t.Errorf("%+v", l)
	}
	for _, c := range cases {
		if judges[c.Name] == nil {
			t.Errorf("nobody judges %s", c.Name)
		}
		short := c.Scale(0.1)
		if rate, was := float64(short.Load.Connections)/short.Load.For.Seconds(), float64(c.Load.Connections)/c.Load.For.Seconds(); math.Abs(rate/was-1) > 0.01 {
			t.Errorf("%s: scaled, %v connections/s and not %v", c.Name, rate, was)
		}
	}
}
