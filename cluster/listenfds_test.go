package cluster_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onconn/cluster"
)

// python runs workers that know nothing of this package, but LISTEN_FDS and
// sd_notify(3).
func python(t *testing.T, cfg cluster.Config) *running {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	server, err := filepath.Abs("../testdata/servers/graceful.py")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Exec, cfg.Args = "python3", []string{server}
	cfg.Listen = []cluster.Address{{Network: "tcp", Address: "127.0.0.1:0"}}
	return start(t, "python", cfg)
}

// Programs that know only LISTEN_FDS are replaced under load when their successor
// has said that it is ready.
func TestReloadListenFDs(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.Shared, cluster.ReusePort} {
		t.Run(mode.String(), func(t *testing.T) {
			r := python(t, cluster.Config{Workers: 2, Mode: mode, Notify: true})
			r.await(cluster.Ready)
			r.await(cluster.Ready)
			stop := r.clients(3, r.Addrs()[0].String())
			for range 2 {
				if err := r.Reload(t.Context()); err != nil {
					t.Error(err)
				}
			}
			eventually(t, "the old ones are gone", func() bool { return len(r.Workers()) == 2 })
			t.Logf("%d answers", stop())
			for _, w := range r.Workers() {
				if w.ID < 5 {
					t.Errorf("worker %d is left", w.ID)
				}
			}
		})
	}
}

// One that doesn't say so in time aborts the reload.
func TestListenFDsNotReady(t *testing.T) {
	r := python(t, cluster.Config{Workers: 1, Mode: cluster.Shared, Notify: true, ReadyTimeout: 300 * time.Millisecond,
		Env: []string{"NOT_READY=1"}, DrainTimeout: time.Second})
	w := r.await(cluster.Forked).Worker
	eventually(t, "it serves", func() bool { return askOnce(r.Addrs()[0].String()) == nil })
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("the error is %v", err)
	}
	if w.State() != cluster.StateStarting {
		t.Errorf("the old one is %v", w.State())
	}
}

// In reuseport mode what waits at the socket of one that goes is its alone to
// accept, so it goes when nothing more comes there.
func TestScaleListenFDs(t *testing.T) {
	for _, mode := range []cluster.Mode{cluster.Shared, cluster.ReusePort} {
		t.Run(mode.String(), func(t *testing.T) {
			r := python(t, cluster.Config{Workers: 2, Mode: mode, Notify: true})
			r.await(cluster.Ready)
			r.await(cluster.Ready)
			stop := r.clients(3, r.Addrs()[0].String())
			for _, n := range []int{1, 3, 2} {
				if err := r.Scale(t.Context(), n); err != nil {
					t.Error(err)
				}
				eventually(t, fmt.Sprintf("%d workers live", n), func() bool { return len(r.Workers()) == n })
			}
			t.Logf("%d answers", stop())
		})
	}
}

// One that isn't asked to tell is ready when it has lived for a second.
func TestListenFDsAliveForASecond(t *testing.T) {
	r := python(t, cluster.Config{Workers: 1, Mode: cluster.Shared})
	began := time.Now()
	r.await(cluster.Ready)
	if err := r.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("two of them took %v", took)
	}
}
