package cluster_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/chaos"
	"onconn/internal/terminal"
	"onconn/internal/testleak"
)

var (
	chaosTime        = flag.Duration("chaos.time", 2*time.Second, "how long TestChaos runs in each mode; 0: until -chaos.connections are made")
	chaosConnections = flag.Int("chaos.connections", 0, "how many connections TestChaos makes in each mode; 0: until -chaos.time is over")
	chaosSeed        = flag.Uint64("chaos.seed", 0, "seed of TestChaos; 0: any, which it prints")
	chaosMode        = flag.String("chaos.mode", "", "the mode of TestChaos: rr, shared or reuseport; empty: all")
)

// Whatever happens to workers and primary, nothing is lost but what a worker
// that was ended had in hand. docs/chaos.md says how that is found out.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64N(1e6) + 1
	}
	t.Logf("again: go test ./cluster -run Chaos -chaos.seed=%d -chaos.time=%v", seed, *chaosTime)
	for _, mode := range modes {
		if *chaosMode != "" && *chaosMode != mode.String() {
			continue
		}
		t.Run(mode.String(), func(t *testing.T) { runChaos(t, mode, seed) })
	}
}

func runChaos(t *testing.T, mode cluster.Mode, seed uint64) {
	testleak.FDs(t)
	testleak.Zombies(t)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	var stderr strings.Builder
	report, err := chaos.Run(t.Context(), chaos.Options{
		Mode: mode, Workers: 3, Connections: *chaosConnections, Time: *chaosTime, Seed: seed, KeepAlive: 0.15, Stderr: &stderr,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	report.Write(os.Stdout, terminal.Style{ASCII: true, Width: 80})
	if !report.Passed {
		t.Errorf("seed %d, %s: see above; the processes wrote:\n%s", seed, mode, &stderr)
	}
}
