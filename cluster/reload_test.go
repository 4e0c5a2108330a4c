package cluster_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
)

// clients ask one after the other until stop is called, which returns how many
// answers there were. Any failure is the test's.
func (r *running) clients(n int, addr string) (stop func() int64) {
	var wg sync.WaitGroup
	var over atomic.Bool
	var answers atomic.Int64
	for range n {
		wg.Go(func() {
			for !over.Load() {
				if err := askOnce(addr); err != nil {
					r.t.Error(err)
					return
				}
				answers.Add(1)
			}
		})
	}
	return func() int64 {
		over.Store(true)
		wg.Wait()
		return answers.Load()
	}
}

// Workers are replaced under load, and no client notices.
func TestReload(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "name", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(2)
			stop := r.clients(4, a.String())
			for range 3 {
				if err := r.Reload(t.Context()); err != nil {
					t.Error(err)
				}
			}
			eventually(t, "the old workers are gone", func() bool { return len(r.Workers()) == 2 })
			n := stop()
			for i, w := range r.Workers() {
				if w.Slot != i || w.ID < 7 {
					t.Errorf("worker %d is in slot %d", w.ID, w.Slot)
				}
			}
			t.Logf("%d answers", n)
		})
	}
}

// lateRole listens in its second life only when a file exists.
func lateRole() error {
	if _, err := os.Stat(os.Getenv("CLUSTER_TEST_FILE")); err != nil {
		fmt.Fprintln(os.Stderr, "line 1\nno configuration")
		os.Exit(3)
	}
	return nameRole()
}

// A worker that never gets ready aborts the reload, and the old ones stay.
func TestFailedReload(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			file := t.TempDir() + "/file"
			os.WriteFile(file, nil, 0o600)
			r := start(t, "late", cluster.Config{Workers: 2, Mode: mode, Env: append(on("tcp", "127.0.0.1:0"), "CLUSTER_TEST_FILE="+file)})
			a := r.listening(2)
			os.Remove(file)
			stop := r.clients(2, a.String())
			err := r.Reload(t.Context())
			if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no configuration") {
				t.Errorf("the error is %v", err)
			}
			stop()
			eventually(t, "the old ones are left", func() bool { return len(r.Workers()) == 2 })
			for i, w := range r.Workers() {
				if w.ID != i+1 {
					t.Errorf("worker %d is left", w.ID)
				}
			}
		})
	}
}

// dumbRole runs and listens on nothing.
func dumbRole() error {
	if cluster.ID() <= 1 {
		return nameRole()
	}
	<-cluster.Draining()
	return nil
}

// A worker that is not ready in time aborts it too, and goes.
func TestReloadTimeout(t *testing.T) {
	r := start(t, "dumb", cluster.Config{Workers: 1, ReadyTimeout: 300 * time.Millisecond, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(1)
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("the error is %v", err)
	}
	if id := ask(t, a); id != 1 {
		t.Errorf("worker %d answered", id)
	}
	eventually(t, "the new one is gone", func() bool { return len(r.Workers()) == 1 })
}

// One operation at a time.
func TestBusy(t *testing.T) {
	r := start(t, "dumb", cluster.Config{Workers: 1, ReadyTimeout: time.Second, Env: on("tcp", "127.0.0.1:0")})
	r.listening(1)
	done := make(chan bool)
	go func() {
		r.Reload(t.Context())
		close(done)
	}()
	r.await(cluster.Forked)
	eventually(t, "it reloads", func() bool { return r.Status().Doing == "reload" })
	if err := r.Scale(t.Context(), 2); !errors.Is(err, cluster.ErrBusy) {
		t.Errorf("Scale meanwhile: %v", err)
	}
	<-done
}

// The number of workers changes under load, up and down, and nobody is lost.
func TestScale(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "name", cluster.Config{Workers: 2, Mode: mode, Env: on("tcp", "127.0.0.1:0")})
			a := r.listening(2)
			stop := r.clients(4, a.String())
			for _, n := range []int{4, 1, 3, 2} {
				if err := r.Scale(t.Context(), n); err != nil {
					t.Error(err)
				}
				eventually(t, fmt.Sprintf("%d workers live", n), func() bool { return len(r.Workers()) == n })
				if s := r.Status(); s.Target != n {
					t.Errorf("the target is %d, not %d", s.Target, n)
				}
			}
			stop()
			if err := r.Scale(t.Context(), 0); err == nil {
				t.Error("it scales to none")
			}
		})
	}
}

// Workers that still finish what they have are none of those that are wanted.
func TestScaleWhileDraining(t *testing.T) {
	r := start(t, "hold", cluster.Config{Workers: 3, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(3)
	for range 3 {
		c := dial(t, a)
		defer c.Close()
		c.Read(make([]byte, 10))
	}
	expect := func(what string, target, living int) {
		t.Helper()
		if n := r.Status().Target; n != target {
			t.Errorf("%s, %d workers are wanted, not %d", what, n, target)
		}
		if n := len(r.Workers()); n != living {
			t.Errorf("%s, %d workers live, not %d", what, n, living)
		}
	}
	for _, step := range []struct{ workers, living int }{{1, 3}, {1, 3}, {2, 4}} {
		if err := r.Scale(t.Context(), step.workers); err != nil {
			t.Error(err)
		}
		expect(fmt.Sprintf("scaled to %d", step.workers), step.workers, step.living)
	}
	if err := r.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if n := r.Status().Target; n != 2 {
		t.Errorf("after a reload %d workers are wanted", n)
	}
}

// A worker that crashes again and again is restarted ever more slowly, and that is
// reported with what it wrote.
func TestCrashLoop(t *testing.T) {
	file := t.TempDir() + "/file"
	os.WriteFile(file, nil, 0o600)
	r := start(t, "late", cluster.Config{Workers: 2, Env: append(on("tcp", "127.0.0.1:0"), "CLUSTER_TEST_FILE="+file),
		Logger: slog.New(slog.DiscardHandler)})
	a := r.listening(2)
	os.Remove(file)
	w := r.Workers()[0]
	w.Kill(syscall.SIGKILL)
	e := r.await(cluster.CrashLoop)
	if e.Crashes < 3 || e.Status.ExitStatus() != 3 || e.Stderr != "line 1\nno configuration" {
		t.Errorf("%d crashes, %s, %q", e.Crashes, cluster.Describe(e.Status), e.Stderr)
	}
	ask(t, a) // the other one serves
	os.WriteFile(file, nil, 0o600)
	if err := r.Reload(t.Context()); err != nil { // starts it at once
		t.Error(err)
	}
	eventually(t, "two workers live", func() bool { return len(r.Workers()) == 2 })
}

// A standard error that can't be written does a worker no harm.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	r := start(t, "noisy", cluster.Config{Workers: 1, Stderr: full, Env: on("tcp", "127.0.0.1:0")})
	a := r.listening(1)
	for range 100 {
		ask(t, a)
	}
	r.Workers()[0].Kill(syscall.SIGKILL)
	if e := r.await(cluster.Exited); !strings.Contains(e.Stderr, "noise") {
		t.Errorf("it wrote %q", e.Stderr)
	}
}

// noisyRole writes more to its standard error than a pipe holds.
func noisyRole() error {
	go func() {
		for range 1000 {
			if _, err := fmt.Fprintln(os.Stderr, "noise", strings.Repeat("x", 200)); err != nil {
				os.Exit(4)
			}
		}
	}()
	return nameRole()
}

// A program that can't be started any more is tried again, and meanwhile clients
// wait in the kernel's queue.
func TestForkFails(t *testing.T) {
	program := t.TempDir() + "/worker"
	if err := os.Link(os.Args[0], program); err != nil {
		b, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(program, b, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, "name", cluster.Config{Workers: 1, Exec: program, Env: on("tcp", "127.0.0.1:0"), Logger: slog.New(slog.DiscardHandler)})
	a := r.listening(1)
	if err := os.Rename(program, program+".away"); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reload: %v", err)
	}
	ask(t, a)
	r.Workers()[0].Kill(syscall.SIGKILL)
	r.await(cluster.Exited)
	c := dial(t, a)
	defer c.Close()
	time.Sleep(300 * time.Millisecond) // some attempts fail
	if err := os.Rename(program+".away", program); err != nil {
		t.Fatal(err)
	}
	readID(t, c)
}
