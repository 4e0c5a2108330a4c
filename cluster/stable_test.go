package cluster_test

import (
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
)

// The ends of workers that were old enough are no crash loop, however many there
// are.
func TestStableAfter(t *testing.T) {
	r := start(t, "name", cluster.Config{
		Workers: 1, StableAfter: time.Nanosecond, Env: on("tcp", "127.0.0.1:0"), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	r.await(cluster.Ready)
	for range 5 {
		r.Workers()[0].Kill(syscall.SIGKILL)
		for e := range r.events {
			if e.Kind == cluster.CrashLoop {
				t.Fatalf("%d deaths are called a crash loop", e.Crashes)
			}
			if e.Kind == cluster.Ready {
				break
			}
		}
	}
}
