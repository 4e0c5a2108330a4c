package scoreboard

import (
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/clients"
)

// loads are short connections, keep-alive connections that are always busy, and
// those whose clients think for 20 ms.
var loads = map[string]clients.Config{
	"short":     {Clients: 32},
	"keepalive": {Clients: 32, KeepAlive: true},
	"think":     {Clients: 32, KeepAlive: true, Think: 20 * time.Millisecond},
}

// S5, S5b, S5c, and S6 to S6c: rolling restarts under load.
func TestS5Reload(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		for name, load := range loads {
			t.Run(name, func(t *testing.T) {
				r := start(t, "http", cluster.Config{Mode: mode})
				run := r.clients(load)
				for range 3 {
					busy(t, run, 64)
					if err := r.Reload(t.Context()); err != nil {
						t.Error(err)
					}
				}
				began := time.Now()
				eventually(t, "the old workers are gone", func() bool { return len(r.Workers()) == 2 })
				got := run.Stop()
				t.Logf("%v; the last one was gone after %v", got, time.Since(began).Round(time.Millisecond))
				if got.Lost() > 0 {
					t.Error("requests were lost")
				}
			})
		}
	})
}

// S5d: the old workers get SIGTERM, each after a new one is ready.
func TestS5dSignal(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		for name, load := range loads {
			t.Run(name, func(t *testing.T) {
				r := start(t, "http", cluster.Config{Mode: mode})
				run := r.clients(load)
				for range 3 {
					busy(t, run, 64)
					old := r.Workers()[0]
					if _, err := r.Fork(); err != nil {
						t.Fatal(err)
					}
					r.await(cluster.Ready)
					old.Kill(syscall.SIGTERM)
					<-old.Done()
				}
				got := run.Stop()
				if t.Log(got); got.Lost() > 0 {
					t.Error("requests were lost")
				}
			})
		}
	})
}
