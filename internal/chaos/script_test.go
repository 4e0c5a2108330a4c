package chaos

import (
	"reflect"
	"testing"
	"time"
)

func steps(seed uint64, n int) (all []step) {
	s := newScript(seed, 3)
	for range n {
		all = append(all, s.next())
	}
	return all
}

func TestScript(t *testing.T) {
	one := steps(1, 1000)
	if !reflect.DeepEqual(one, steps(1, 1000)) {
		t.Error("one seed, two scripts")
	}
	if reflect.DeepEqual(one, steps(2, 1000)) {
		t.Error("two seeds, one script")
	}
	kinds := map[Kind]int{}
	connections := 0
	for _, e := range one {
		kinds[e.Kind]++
		connections += e.Gap
		if e.Kind == Scale && (e.N < 2 || e.N > 5) {
			t.Errorf("scale to %d", e.N)
		}
		if e.Kind == SqueezePrimary && e.For > 500*time.Millisecond {
			t.Errorf("the primary has no descriptors for %v", e.For)
		}
	}
	for _, w := range weights {
		if kinds[w.kind] == 0 {
			t.Errorf("no %s among 1000 steps", w.kind)
		}
	}
	// What the issue wants, of a million connections: 300 at least, with a
	// margin for steps that wait.
	if connections > 1000*1200 {
		t.Errorf("1000 steps take %d connections", connections)
	}
}

func TestWeights(t *testing.T) {
	sum := 0
	for _, w := range weights {
		sum += w.weight
	}
	if sum != 100 {
		t.Errorf("the weights are %d together", sum)
	}
}

// Somebody can always serve, but for the moment in which all are killed.
func TestOneIsLeft(t *testing.T) {
	stage := func(able, busy int) *stage {
		s := newStage()
		for i := range able + busy {
			s.workers[i+1] = &actor{workerInfo: workerInfo{ID: i + 1, Serving: true}, busy: i >= able}
		}
		return s
	}
	tests := []struct {
		name       string
		kind       Kind
		able, busy int
		want       int // victims; negative: not now
	}{
		{"kill one of two", Kill, 2, 0, 1},
		{"kill the only one", Kill, 1, 0, -1},
		{"kill the only one that isn't stopped", Kill, 1, 1, -1},
		{"stop one of two", Stop, 2, 0, 1},
		{"stop the only one", Stop, 1, 0, -1},
		{"stall the only one", Stall, 1, 2, -1},
		{"crash one of three", Crash, 3, 0, 1},
		{"kill all", KillAll, 3, 0, 3},
		{"kill all while one is stopped", KillAll, 2, 1, -1},
		{"reload with one", Reload, 1, 1, 0},
		{"reload with none", Reload, 0, 2, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stage(tt.able, tt.busy)
			victims, ok, _ := s.begin(step{Kind: tt.kind, Pick: 4711})
			if !ok {
				victims = make([]int, 0)
			}
			if got := len(victims); ok != (tt.want >= 0) || ok && got != tt.want {
				t.Fatalf("%v, %v", victims, ok)
			}
			for _, id := range victims {
				if w := s.workers[id]; w.busy != (tt.kind == Stop) || (w.ended != nil) == (tt.kind == Stop) {
					t.Errorf("worker %d is %+v", id, w)
				}
			}
		})
	}
}

// Operations come one at a time, and so do those that take from the primary.
func TestOneOperation(t *testing.T) {
	s := newStage()
	s.workers[1] = &actor{workerInfo: workerInfo{ID: 1, Serving: true}}
	for _, kinds := range [][2]Kind{{Reload, Upgrade}, {SqueezePrimary, SqueezePrimary}} {
		if _, ok, _ := s.begin(step{Kind: kinds[0]}); !ok {
			t.Fatalf("%s may not begin", kinds[0])
		}
		_, ok, changed := s.begin(step{Kind: kinds[1]})
		if ok {
			t.Errorf("%s may begin during %s", kinds[1], kinds[0])
		}
		s.end(step{Kind: kinds[0]}, nil)
		<-changed
		if _, ok, _ := s.begin(step{Kind: kinds[1]}); !ok {
			t.Errorf("%s may not begin after %s", kinds[1], kinds[0])
		}
		s.end(step{Kind: kinds[1]}, nil)
	}
}

// What a worker's end looks like when an upgrade hid it.
func TestEndDuringAnUpgrade(t *testing.T) {
	s := newStage()
	s.meet([]workerInfo{{ID: 1, Serving: true}, {ID: 2, Serving: true}, {ID: 3, Serving: true}}, at(0))
	victims, _, _ := s.begin(step{Kind: Kill})
	s.meet([]workerInfo{{ID: 2, Serving: true}, {ID: 4}}, at(10))
	if len(victims) != 1 || victims[0] != 1 {
		t.Fatalf("victims: %v", victims)
	}
	if e := s.endings(); len(e) != 1 || e[0].Worker != 1 || !e[0].To.Equal(at(10)) {
		t.Errorf("endings: %+v", e)
	}
	if left := s.left(); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
	if s.workers[3].exited.IsZero() || s.workers[4] == nil {
		t.Error("who the new image has isn't known")
	}
}
