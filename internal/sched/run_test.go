package sched

import (
	"context"
	"errors"
	"testing"
	"time"

	"onconn/internal/testleak"
)

func config(t *testing.T, cases ...Case) Config {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	return Config{Command: []string{"/proc/self/exe"}, Cases: cases, Seed: 1}
}

func run(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each way answers each connection, in each kind of case.
func TestWays(t *testing.T) {
	work := []Work{{1, 100 * time.Microsecond}}
	short := Case{Name: "short", Load: Load{Connections: 40, For: 200 * time.Millisecond, Work: work},
		Stall: Stall{For: 50 * time.Millisecond, Every: 150 * time.Millisecond}}
	stay := Case{Name: "stay", Load: Load{Connections: 20, For: 100 * time.Millisecond, Work: work, Stay: true, Again: 30 * time.Millisecond}}
	rounds := Case{Name: "rounds", Load: Load{Connections: 20, For: 100 * time.Millisecond, Work: work, Stay: true, Again: 50 * time.Millisecond, Rounds: 2}}
	r := run(t, config(t, short, stay, rounds))
	for _, out := range r.LeftOut {
		t.Log(out.Way, "is left out: ", out.Reason)
	}
	if len(r.LeftOut) > 2 {
		t.Error("only two ways need a privilege")
	}
	for _, c := range r.Cases {
		for _, w := range c.Ways {
			t.Logf("%-8s %-10s %v %+v", c.Name, w.Way, w.Runs[0].Shares, w.Median)
			got := w.Runs[0]
			if got.Failed+got.Silent > 0 {
				t.Errorf("%s, %s: %d failed (%s), %d silent", c.Name, w.Way, got.Failed, got.Failure, got.Silent)
			}
			if n := sum(got.Shares); n != c.Load.Connections {
				t.Errorf("%s, %s: %d connections were answered of %d", c.Name, w.Way, n, c.Load.Connections)
			}
			want := c.Load.Connections * max(1, c.Load.Rounds)
			if len(w.latencies) != want {
				t.Errorf("%s, %s: %d latencies, not %d", c.Name, w.Way, len(w.latencies), want)
			}
		}
	}
}

func sum(shares []int) (n int) {
	for _, s := range shares {
		n += s
	}
	return n
}

// Workers that don't start are an error, and nothing is left of them.
func TestNoStart(t *testing.T) {
	for _, w := range []Way{Shared, RoundRobin} {
		for _, command := range []string{"/does/not/exist", "/bin/false"} {
			c := config(t, Case{Load: Load{Connections: 1}})
			c.Command, c.Ways = []string{command}, []Way{w}
			if _, err := Run(context.Background(), c); err == nil {
				t.Errorf("%s: %s is no error", w, command)
			}
		}
	}
}

// The end of the context is that of the run, also while a worker is stopped.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := config(t, Case{Name: "long", Load: Load{Connections: 1000, For: time.Minute}, Stall: Stall{For: time.Minute, Every: time.Minute}})
	c.Ways = []Way{Shared}
	c.Progress = func(float64, string) { time.AfterFunc(500*time.Millisecond, cancel) }
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestParseWay(t *testing.T) {
	for _, w := range Ways() {
		if got, err := ParseWay(string(w)); got != w || err != nil || w.Explain() == "" {
			t.Errorf("%s: %v, %v, %q", w, got, err, w.Explain())
		}
	}
	if _, err := ParseWay("best"); err == nil {
		t.Error("there is no such way")
	}
}
