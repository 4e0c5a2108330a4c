package scoreboard

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"onconn/cluster"
	"onconn/internal/clients"
)

// S1: kill -9 of one of two workers under load. Lost is at most what it had
// accepted, and one that it was accepting: it is stopped first, to be counted.
func TestS1Kill(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "http", cluster.Config{Mode: mode})
		run := r.clients(clients.Config{Clients: 32})
		inHand := 0
		for range 10 {
			busy(t, run, 64)
			w := r.Workers()[0]
			stop(t, w.PID)
			inHand += int(w.Stats().Active) + 1
			r.kill(w)
		}
		got := run.Stop()
		t.Logf("%v; at most %d in hand", got, inHand)
		if got.Hang+got.Refused+got.Wrong > 0 || got.Lost() > inHand {
			t.Error("clients were lost that no worker had")
		}
	})
}

// kill kills a worker, and waits for the next one.
func (r *running) kill(w *cluster.Worker) {
	r.t.Helper()
	w.Kill(syscall.SIGKILL)
	if e := r.await(cluster.Exited); e.Worker != w {
		r.t.Fatalf("worker %d ended", e.Worker.ID)
	}
	r.await(cluster.Ready)
}

// S1b: kills in a row, 20 in round robin. No client hangs, and the primary keeps
// nothing.
func TestS1bKills(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "http", cluster.Config{Mode: mode})
		run := r.clients(clients.Config{Clients: 32})
		descriptors, kills := 0, 6
		if mode == cluster.RoundRobin {
			kills = 20
		}
		for i := range kills {
			busy(t, run, 64)
			r.kill(r.Workers()[i%2])
			if i == 0 { // some are opened once, when they are needed
				descriptors = openFiles(t)
			}
		}
		got := run.Stop()
		t.Log(got)
		if got.Hang+got.Refused+got.Wrong > 0 {
			t.Error("clients were lost that no worker had")
		}
		eventually(t, "no descriptor is left", func() bool { return openFiles(t) <= descriptors })
	})
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// S8: both workers are killed at once. Nobody is refused: the primary listens.
func TestS8KillAll(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		r := start(t, "http", cluster.Config{Mode: mode})
		run := r.clients(clients.Config{Clients: 32})
		inHand := 0
		for range 3 {
			busy(t, run, 64)
			both := r.Workers()
			for _, w := range both {
				stop(t, w.PID)
				inHand += int(w.Stats().Active) + 1
			}
			for _, w := range both {
				w.Kill(syscall.SIGKILL)
			}
			for _, w := range both {
				<-w.Done()
			}
			for range both {
				r.await(cluster.Ready)
			}
		}
		busy(t, run, 64)
		got := run.Stop()
		t.Logf("%v; at most %d in hand", got, inHand)
		if got.Hang+got.Refused+got.Wrong > 0 || got.Lost() > inHand {
			t.Error("clients were lost that no worker had")
		}
	})
}

// S7: the primary is killed with 40 requests in flight. The workers finish them.
func TestS7PrimaryKilled(t *testing.T) {
	inModes(t, func(t *testing.T, mode cluster.Mode) {
		file := filepath.Join(t.TempDir(), "go")
		p := startPrimary(t, mode, envFile+"="+file)
		run := ask(p.addr, clients.Config{Clients: 40, Most: 40, Path: "/wait"})
		for range 40 {
			p.line("begun")
		}
		p.kill()
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := run.Wait(); got.OK != 40 {
			t.Error(got)
		}
		for _, pid := range p.workers {
			eventually(t, "the workers go", func() bool { return cpu(pid) < 0 })
		}
	})
}
