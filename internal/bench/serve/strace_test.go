package serve_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A counter is an strace(1) that counts the system calls of a process.
type counter struct {
	cmd    *exec.Cmd
	output string
}

// attach begins to count. All threads of pid are traced when it returns.
func attach(t *testing.T, pid int) *counter {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace: apt-get install strace")
	}
	c := &counter{output: filepath.Join(t.TempDir(), "strace")}
	c.cmd = exec.Command(strace, "-f", "-qq", "-c", "-o", c.output, "-p", strconv.Itoa(pid))
	var said bytes.Buffer
	c.cmd.Stderr = &said
	check(t, c.cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.cmd.Wait() }()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-ended
	})
	for end := time.Now().Add(patience); !c.traces(pid); time.Sleep(time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			t.Skipf("strace can't attach to another process here: %v %s", err, said.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatal("strace doesn't attach")
		}
	}
	return c
}

// traces reports whether every thread of pid is under this strace.
func (c *counter) traces(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, task := range tasks {
		status, _ := os.ReadFile(task)
		if !strings.Contains(string(status), fmt.Sprintf("\nTracerPid:\t%d\n", c.cmd.Process.Pid)) {
			return false
		}
	}
	return len(tasks) > 0
}

// perConnection ends the counting, and divides by n.
func (c *counter) perConnection(t *testing.T, n int) calls {
	t.Helper()
	c.cmd.Process.Signal(syscall.SIGINT)
	var table string
	eventually(t, "strace says what it has counted", func() bool {
		b, _ := os.ReadFile(c.output)
		table = string(b)
		return strings.HasSuffix(table, " total\n")
	})
	counted := calls{}
	for line := range strings.Lines(table) {
		// % time, seconds, usecs/call, calls, errors if there were any, syscall
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		name := f[len(f)-1]
		k, err := strconv.Atoi(f[3])
		if err == nil && name != "total" && !slices.Contains(ofTheRuntime, name) {
			counted[cmp.Or(otherNames[name], name)] += float64(k) / float64(n)
		}
	}
	if len(counted) == 0 {
		t.Fatalf("nothing was counted:\n%s", table)
	}
	return counted
}
