package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/internal/testleak"
)

func TestStatus(t *testing.T) {
	testleak.FDs(t)
	want := cluster.Status{
		PID: 7, Started: time.Now().Round(0).UTC(), Program: "/bin/x", Mode: cluster.Shared, Target: 2,
		Listeners: []cluster.ListenerStatus{{Network: "tcp", Address: "[::]:80", Mode: cluster.Shared, Queue: 3, Limit: 511, Drops: -1}},
		Workers:   []cluster.WorkerStatus{{ID: 9, Slot: 1, PID: 8, State: "online", CPU: time.Second, RSS: 1 << 30}},
	}
	s := open(t, &fake{status: func() cluster.Status { return want }})
	if fi, err := os.Stat(s.Path()); err != nil || fi.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the mode of the file is %v, %v", fi.Mode(), err)
	}
	c := dial(t, s.Path())
	if c.PID() != os.Getpid() {
		t.Errorf("process %d answers", c.PID())
	}
	got, err := c.Status(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; not %+v", got, err, want)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, unix.ENOENT) {
		t.Errorf("after Close: %v", err)
	}
}

func TestReload(t *testing.T) {
	testleak.FDs(t)
	var fresh atomic.Int64
	end := make(chan error)
	s := open(t, &fake{
		status: func() cluster.Status {
			status := cluster.Status{Target: 2, Workers: []cluster.WorkerStatus{{ID: 5, State: "online"}, {ID: 9, State: "starting"}}}
			for i := range fresh.Load() {
				status.Workers = append(status.Workers, cluster.WorkerStatus{ID: 10 + int(i), State: "online"})
			}
			return status
		},
		reload: func(context.Context) error { return <-end },
	})
	c := dial(t, s.Path())
	said := make(chan string, 100)
	c.Progress = func(text string) { said <- text }
	done := make(chan error, 1)
	go func() { done <- c.Reload(t.Context()) }()
	expect := func(want string) {
		t.Helper()
		for got := range said {
			if got == want {
				return
			}
		}
	}
	expect("reloading")
	fresh.Store(1)
	expect("1 of 2 workers are new")
	end <- nil
	if err := <-done; err != nil {
		t.Error(err)
	}
	go func() { done <- c.Reload(t.Context()) }()
	end <- errors.New("worker 12 never got ready")
	if err := <-done; err == nil || err.Error() != "worker 12 never got ready" || errors.Is(err, cluster.ErrBusy) {
		t.Errorf("the error is %v", err)
	}
	go func() { done <- c.Reload(t.Context()) }()
	end <- fmt.Errorf("%w: it reloads", cluster.ErrBusy)
	if err := <-done; !errors.Is(err, cluster.ErrBusy) {
		t.Errorf("the error is %v", err)
	}
}

// Who doesn't wait for the end doesn't end it.
func TestWaitingEnds(t *testing.T) {
	testleak.FDs(t)
	end, ended := make(chan struct{}), make(chan error, 1)
	s := open(t, &fake{reload: func(ctx context.Context) error {
		<-end
		ended <- ctx.Err()
		return nil
	}})
	c := dial(t, s.Path())
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(string) { cancel() }
	if err := c.Reload(ctx); err != context.Canceled {
		t.Errorf("the error is %v", err)
	}
	close(end)
	if err := <-ended; err != nil {
		t.Errorf("the reload is ended: %v", err)
	}
}

func TestScale(t *testing.T) {
	testleak.FDs(t)
	var asked atomic.Int64
	s := open(t, &fake{scale: func(_ context.Context, n int) error { asked.Store(int64(n)); return nil }})
	c := dial(t, s.Path())
	if err := c.Scale(t.Context(), MaxWorkers); err != nil || asked.Load() != MaxWorkers {
		t.Errorf("scaled to %d, %v", asked.Load(), err)
	}
	for _, n := range []int{0, -1, MaxWorkers + 1} {
		if err := c.Scale(t.Context(), n); err == nil || asked.Load() != MaxWorkers {
			t.Errorf("scaled to %d, %v", asked.Load(), err)
		}
	}
}

// Close breaks off what runs, and who has not said what it wants.
func TestClose(t *testing.T) {
	testleak.FDs(t)
	began := make(chan struct{})
	s := open(t, &fake{reload: func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}})
	quiet := connect(t, s.Path())
	c := dial(t, s.Path())
	done := make(chan error, 1)
	go func() { done <- c.Reload(t.Context()) }()
	<-began
	s.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("the reload: %v", err)
	}
	if got := quiet.rest(); got != "" {
		t.Errorf("the quiet one is told %q", got)
	}
}

// A process that executes itself anew ends all connections, and answers later.
func TestUpgrade(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	c, _ := start(t)
	for i := range 2 {
		if err := c.Upgrade(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status, err := c.Status(t.Context()); err != nil || status.Upgrades != i+1 || status.PID != c.PID() {
			t.Errorf("%+v, %v", status, err)
		}
	}
}

func TestUpgradeFails(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	s := open(t, &fake{upgrade: func(context.Context) error { return errors.New("the new program says: no") }})
	if err := dial(t, s.Path()).Upgrade(t.Context()); err == nil || err.Error() != "the new program says: no" {
		t.Errorf("the error is %v", err)
	}
	c, _ := start(t, "TEST_DIE=1")
	if err := c.Upgrade(t.Context()); err == nil || !strings.Contains(err.Error(), "ended during the upgrade") {
		t.Errorf("the error is %v", err)
	}
}

// A stopped process must not be waited for without end.
func TestStopped(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	c, cmd := start(t)
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		return strings.Contains(string(stat), ") T ")
	})
	_, err := c.Status(t.Context())
	if want := fmt.Sprintf("kill -CONT %d", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	for path, says := range map[string]string{
		dir + "/none":                     "there is none",
		leaveDead(t, dir+"/dead"):         "is gone",
		dir + strings.Repeat("x", 200):    "at most 107 bytes",
		"/proc/self/status/not/directory": "not a directory",
	} {
		if _, err := Dial(path); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
