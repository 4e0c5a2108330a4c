package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/internal/bench/load"
	"onconn/internal/bench/peer"
	"onconn/internal/testleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "load", "hold"}, os.Args[1]) {
		main()
	}
	goleak.VerifyTestMain(m)
}

// newBench has the servers of tables. Children die with the thread of the test.
func newBench(t *testing.T, tables ...Table) *bench {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	b := &bench{rounds: 2, window: 50 * time.Millisecond, progress: t.Logf}
	var err error
	if b.servers, b.clients, err = split("split"); err != nil {
		t.Fatal(err)
	}
	if err := b.get(t.Context(), tables, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRun: servers take turns, and the order is turned each round.
func TestRun(t *testing.T) {
	table := Table{Name: "t", Servers: []string{"loop-close", "lacking", "net-close"}, Workers: 1, Load: closed(load.Close)}
	b := newBench(t, table)
	b.missing["lacking"] = errors.New("missing: this")
	r, err := b.run(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, w := range r.Windows {
		order = append(order, w.Server)
		if w.Done == 0 || len(w.Failed) > 0 || w.CPU <= 0 || w.CPU > 1e5 || w.P50 <= 0 || w.P99 < w.P50 {
			t.Errorf("%+v", w)
		}
	}
	if got := strings.Join(order, " "); got != "loop-close net-close net-close loop-close" {
		t.Errorf("order: %s", got)
	}
	if r.Missing["lacking"] != "missing: this" {
		t.Errorf("missing: %v", r.Missing)
	}
}

func TestHalf(t *testing.T) {
	table := half("t", load.HTTP, 2, "rr-nethttp")
	table.Idle = 20
	r, err := newBench(t, table).run(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	if r.Rate < 1 || len(r.Windows) != 2 {
		t.Errorf("rate %v, %d windows", r.Rate, len(r.Windows))
	}
	for _, w := range r.Windows {
		if begun := w.Done + w.Failed["timeout"]; float64(begun) > r.Rate*0.05+1 {
			t.Errorf("%d began at %v/s in 50 ms", begun, r.Rate)
		}
	}
}

// TestMemory: a goroutine for each connection shows.
func TestMemory(t *testing.T) {
	table := Table{Name: "t", Servers: []string{"net-hold"}, Workers: 1, Idle: 1000, Memory: true}
	r, err := newBench(t, table).run(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	if v := r.Bytes["net-hold"]; len(v) != 2 || v[0] < 2000 || v[0] > 100000 {
		t.Errorf("bytes for a connection: %v", v)
	}
}

// TestServerEnds: a server that goes in a window is an error, not a figure.
func TestServerEnds(t *testing.T) {
	table := Table{Name: "t", Servers: []string{"net-close"}, Workers: 1, Load: closed(load.Close)}
	b := newBench(t, table)
	s, err := b.startOne(t.Context(), table, "net-close", new(Run))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	cfg := table.Load
	cfg.For = 100 * time.Millisecond
	s.cmd.Process.Kill()
	for end := time.Now().Add(10 * time.Second); alive(s.cmd.Process.Pid) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w, err := b.measure(t.Context(), s, cfg)
	if err == nil && (w.Done > 0 || w.Failed["refused"] == 0) {
		t.Errorf("%+v", w)
	}
}

// TestProcessesChange: nobody knows what those took that came and went.
func TestProcessesChange(t *testing.T) {
	table := Table{Name: "t", Servers: []string{"changes"}, Workers: 1, Load: closed(load.Close)}
	b := newBench(t, Table{Servers: []string{"net-close"}})
	b.commands["changes"] = func(was peer.Command) peer.Command {
		return func(addr string, workers int) []string {
			return []string{"sh", "-c", "trap 'kill $!; exit' TERM; " + strings.Join(was(addr, workers), " ") + " & while :; do sleep 0.01; done"}
		}
	}(b.commands["net-close"])
	if r, err := b.run(t.Context(), table); !errors.Is(err, errChanged) {
		t.Errorf("%v: %+v", err, r.Windows)
	}
}

func TestLong(t *testing.T) {
	for _, tt := range []struct {
		rate, slowest float64
		want          time.Duration
	}{{0, 10000, time.Second / 2}, {0, 500, time.Second}, {500, 10000, time.Second}, {0, 0, 5 * time.Second}, {10, 10, 5 * time.Second}} {
		if got := long(load.Config{Rate: tt.rate, For: time.Second / 2}, tt.slowest); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestStartFails(t *testing.T) {
	b := newBench(t)
	for script, want := range map[string]string{"echo no {addr}; exit 1": "no 127.0.0.1:", "/nonexistent {addr}": "not found"} {
		s, err := start(t.Context(), "broken", shell(script), 1, b.servers)
		if err == nil {
			s.stop()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", script, err)
		}
	}
}

// TestInterrupt leaves no server behind, which newBench looks for.
func TestInterrupt(t *testing.T) {
	table := Table{Name: "t", Servers: []string{"net-close"}, Workers: 1, Load: closed(load.Close)}
	b := newBench(t, table)
	b.window = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.progress = func(string, ...any) {}
	b.commands["net-close"] = func(was peer.Command) peer.Command {
		return func(addr string, workers int) []string {
			time.AfterFunc(300*time.Millisecond, cancel) // whatever it does then
			return was(addr, workers)
		}
	}(b.commands["net-close"])
	if _, err := b.run(ctx, table); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLoadOf(t *testing.T) {
	if cfg, err := loadOf("close", "open:500"); err != nil || cfg != (load.Config{Work: load.Close, Rate: 500}) {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err := loadOf("http", "closed:64"); err != nil || cfg != closed(load.HTTP) {
		t.Errorf("%+v, %v", cfg, err)
	}
	for _, wrong := range [][2]string{{"dance", "closed:1"}, {"http", "closed"}, {"http", "closed:0"}, {"http", "often:3"}, {"keepalive", "open:3"}} {
		if cfg, err := loadOf(wrong[0], wrong[1]); err == nil {
			t.Errorf("%v: %+v", wrong, cfg)
		}
	}
}

// TestTables: each compares servers that there are, and that it measures.
func TestTables(t *testing.T) {
	known := map[string]bool{}
	for _, p := range peer.All() {
		known[p.Name] = true
	}
	names := map[string]bool{}
	for _, table := range tables {
		if names[table.Name] {
			t.Errorf("two tables are named %s", table.Name)
		}
		names[table.Name] = true
		for _, s := range table.Servers {
			if !known[s] {
				t.Errorf("%s: no server %q", table.Name, s)
			}
		}
		for _, b := range table.Bounds {
			if !slices.Contains(table.Servers, b.Ours) || !slices.Contains(table.Servers, b.Theirs) {
				t.Errorf("%s: %s and %s aren't both measured", table.Name, b.Ours, b.Theirs)
			}
		}
	}
}
