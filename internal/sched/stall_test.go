package sched

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// state is that of a process: S sleeping, T stopped...
func state(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

// Each worker is stopped in its turn, the others go on, and in the end all do.
func TestStall(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	var pids []int
	for range 3 {
		cmd := exec.Command("sleep", "100")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		pids = append(pids, cmd.Process.Pid)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Stall{For: 30 * time.Millisecond, Every: 40 * time.Millisecond}.run(ctx, time.Now(), pids, 1)
	}()
	stopped := map[int]bool{} // whom we have seen so: one may be missed, not always
	for end := time.Now().Add(20 * time.Second); len(stopped) < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		for i, pid := range pids {
			if state(t, pid) == "T" {
				stopped[i] = true
			}
		}
	}
	cancel()
	<-done
	if len(stopped) < 3 {
		t.Errorf("stopped: %v of 3", stopped)
	}
	for _, pid := range pids {
		for end := time.Now().Add(10 * time.Second); state(t, pid) == "T"; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("one is left stopped")
			}
		}
	}
}
