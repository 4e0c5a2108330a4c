package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/terminal"
	"onconn/internal/testleak"
)

// small runs a few thousand connections.
func small(t *testing.T, o Options) *Report {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	var stderr bytes.Buffer
	o.Workers, o.KeepAlive, o.Stderr = 3, 0.15, &stderr
	if o.Mode == 0 {
		o.Mode = cluster.RoundRobin
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var text strings.Builder
	r.Write(&text, terminal.Style{ASCII: true, Width: 80})
	t.Log(text.String())
	if left := processes(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	return r
}

// processes are those of this program in a role, started by anybody.
func processes() (pids []string) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		env, _ := os.ReadFile(path)
		exe, _ := os.Readlink(filepath.Join(filepath.Dir(path), "exe"))
		if exe == os.Args[0] && bytes.Contains(env, []byte(envRole+"=")) {
			pids = append(pids, path)
		}
	}
	return pids
}

func TestRun(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.RoundRobin, cluster.Shared, cluster.ReusePort} {
		t.Run(mode.String(), func(t *testing.T) {
			r := small(t, Options{Mode: mode, Connections: 8000})
			if !r.Passed || r.Connections != 8000 || r.Answered < 8000 || r.Total() == 0 || r.Latency.Worst == 0 {
				t.Errorf("the report is %+v", r)
			}
		})
	}
}

// What a bad server does is found, and nothing else is.
func TestFaultsAreFound(t *testing.T) {
	tests := []struct {
		fault string
		found func(*Report) bool
	}{
		{"corrupt", func(r *Report) bool { return r.Losses[Unexplained]["wrong"] > 0 && len(r.Twice) == 0 }},
		{"drop", func(r *Report) bool {
			return r.Losses[Unexplained]["eof"]+r.Losses[Unexplained]["reset"] > 0 && r.Losses[Unexplained]["wrong"] == 0
		}},
		{"twice", func(r *Report) bool { return len(r.Twice) > 0 && len(r.Unexplained) == 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			r := small(t, Options{Connections: 1000, fault: tt.fault})
			if r.Passed || !tt.found(r) {
				t.Errorf("the report is %+v", r)
			}
		})
	}
}

// A run in which no worker comes back ends, and says so.
func TestNobodyServes(t *testing.T) {
	r := small(t, Options{Connections: 5000, fault: "never", alone: time.Second, timeout: 2 * time.Second})
	if r.Passed || r.StoodStill == "" || len(r.Last) == 0 {
		t.Errorf("the report is %+v", r)
	}
}

// An interrupted run ends, reports, and leaves nothing.
func TestInterrupt(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := Run(ctx, Options{
		Mode: cluster.Shared, Workers: 2, Connections: 1 << 30, Seed: 3,
		Time: time.Hour,
		Progress: func(connections, _ int) { // after some
			if connections > 500 {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Connections < 500 || !r.Passed {
		t.Errorf("the report is %+v", r)
	}
	if left := processes(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

func TestValidate(t *testing.T) {
	good := Options{Workers: 2, Connections: 1, KeepAlive: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for i, change := range []func(*Options){
		func(o *Options) { o.Workers = 1 },
		func(o *Options) { o.Connections = -1 },
		func(o *Options) { o.Connections = 0 },
		func(o *Options) { o.Time = -1 },
		func(o *Options) { o.KeepAlive = 1.1 },
	} {
		bad := good
		change(&bad)
		if bad.Validate() == nil {
			t.Errorf("change %d is valid: %+v", i, bad)
		}
	}
}

func ExampleRun() {
	if HasRole() { // in a program of its own this stands in main
		os.Exit(Role())
	}
	report, err := Run(context.Background(), Options{Mode: cluster.RoundRobin, Workers: 2, Connections: 500, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Connections, "connections, passed:", report.Passed)
	// Output: 500 connections, passed: true
}
