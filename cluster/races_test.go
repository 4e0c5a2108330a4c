package cluster_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
)

// The listener of a worker that goes after a reload stays where its successor's
// successor is still to come.
func TestListenerOutlivesTheOldWorker(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "hold", cluster.Config{Workers: 1, Mode: mode, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(1)
			old := r.Workers()[0]
			held := dial(t, a) // keeps the old one
			readID(t, held)
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			fresh := r.Workers()[1]
			fresh.Kill(syscall.SIGKILL) // its successor comes in 100 ms
			<-fresh.Done()
			waiting := dial(t, a)
			defer waiting.Close()
			held.Close() // now the old one goes
			<-old.Done()
			readID(t, waiting)
		})
	}
}

// Old and new workers that die in one moment take no listener along: successors of
// the new ones are due.
func TestAllDieAfterReload(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "hold", cluster.Config{Workers: 2, Mode: mode, StableAfter: time.Millisecond, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(2)
			for range 5 {
				held := []net.Conn{dial(t, a), dial(t, a), dial(t, a)} // keep the old ones
				for _, c := range held {
					readID(t, c)
				}
				if err := r.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
				workers := r.Workers()
				for _, w := range workers { // or they would have what comes now in hand
					w.Kill(syscall.SIGSTOP)
					eventually(t, "the worker is stopped, or gone", func() bool {
						return processState(w.PID) == 'T' || w.State() == cluster.StateDead
					})
				}
				waiting := []net.Conn{dial(t, a), dial(t, a), dial(t, a), dial(t, a)}
				for _, w := range workers {
					w.Kill(syscall.SIGKILL)
				}
				for _, c := range waiting {
					readID(t, c)
					c.Close()
				}
				for _, c := range held {
					c.Close()
				}
			}
		})
	}
}

// Whatever happens to a worker just then, a Scale down leaves as many as it says.
func TestScaleWhileCrashing(t *testing.T) {
	r := start(t, "name", cluster.Config{Workers: 2, StableAfter: time.Millisecond, Env: on("tcp", "127.0.0.1:0")})
	r.listening(2)
	for i := range 20 {
		workers := r.Workers()
		workers[len(workers)-1].Kill(syscall.SIGKILL)
		time.Sleep(time.Duration(i%5) * time.Millisecond)
		if err := r.Scale(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		eventually(t, "one is left", func() bool { return len(r.Workers()) == 1 && r.Status().Target == 1 })
		if err := r.Scale(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
	}
}

// What was given to a worker from another one's socket in reuseport mode is taken
// back like the rest.
func TestStoppedTwice(t *testing.T) {
	r := start(t, "name", cluster.Config{Workers: 2, Mode: cluster.ReusePort, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(2)
	for range 20 {
		ask(t, a)
	}
	first, second := r.Workers()[0], r.Workers()[1]
	stop(t, first)
	stop(t, second)
	var conns []net.Conn
	for range 40 {
		c := dial(t, a)
		defer c.Close()
		conns = append(conns, c)
	}
	first.Kill(syscall.SIGKILL)
	for _, c := range conns {
		if readID(t, c) == second.ID {
			t.Error("the stopped worker answered")
		}
	}
	second.Kill(syscall.SIGCONT)
}

// Programs that accept in blocking mode go on after an upgrade, and so do those
// that are started later.
func TestUpgradeBlockingProgram(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	server, err := filepath.Abs("../testdata/servers/listenfds.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []cluster.Mode{cluster.Shared, cluster.ReusePort} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Setenv("CLUSTER_TEST_PYTHON", server)
			p := startProgram(t, mode)
			eventually(t, "it serves", func() bool { return httpOnce(p.addr) == nil })
			before := p.ask("status")
			if now := p.ask("upgrade"); now.Upgrades != 1 {
				t.Errorf("%+v", now)
			}
			for range 20 {
				if err := httpOnce(p.addr); err != nil {
					t.Error(err)
				}
			}
			now := p.ask("status")
			for i, w := range now.Workers {
				if w.PID != before.Workers[i].PID {
					t.Errorf("worker %d was replaced", before.Workers[i].ID)
				}
			}
			if said := p.do("upgrade"); !strings.Contains(said, "reload first") {
				t.Errorf("a second upgrade: %s", said)
			}
			p.ask("reload")
			if now := p.ask("upgrade"); now.Upgrades != 2 {
				t.Errorf("%+v", now)
			}
			syscall.Kill(now.Workers[0].PID, syscall.SIGKILL)
			for range 20 {
				httpOnce(p.addr) // what it had in hand is lost
			}
			eventually(t, "two live", func() bool { return len(p.ask("status").Workers) == 2 })
			for range 20 {
				if err := httpOnce(p.addr); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A signal in the middle of an upgrade waits until the new program hears it.
func TestSignalDuringUpgrade(t *testing.T) {
	p := startProgram(t, cluster.RoundRobin)
	eventually(t, "it serves", func() bool { return askOnce(p.addr) == nil })
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
				p.cmd.Process.Signal(syscall.SIGHUP)
			}
		}
	}()
	for i := range 10 {
		if now := p.ask("upgrade"); now.Upgrades != i+1 || now.PID != p.cmd.Process.Pid {
			t.Errorf("%+v", now)
		}
	}
	close(over)
}
