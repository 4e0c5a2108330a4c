package session

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/testleak"
)

func TestStorm(t *testing.T) {
	r := record(t, "storm", Config{})
	if len(r.Processes) < 51 { // Go's os/exec has one of its own
		t.Errorf("%d processes, want 51", len(r.Processes))
	}
	if n := len(calls(r, "socket")); n != 50 {
		t.Errorf("%d sockets, want 50", n)
	}
	for _, p := range r.Processes[1:] {
		if p.Parent != r.Processes[0].PID || p.Status != "exit status 0" {
			t.Errorf("%+v", p)
		}
	}
}

func TestThreads(t *testing.T) {
	r := record(t, "threads", Config{})
	if n := len(calls(r, "socket")); n != 1600 || len(r.Processes) != 1 {
		t.Errorf("%d sockets in %d processes, want 1600 in 1", n, len(r.Processes))
	}
	tids := map[int]bool{}
	for _, c := range r.Calls {
		if c.End == 0 {
			t.Fatalf("%s has no end", c.Name)
		}
		tids[c.TID] = true
	}
	if len(tids) < 8 {
		t.Errorf("%d threads, want at least 8", len(tids))
	}
}

func TestExecFromThread(t *testing.T) {
	r := record(t, "exec", Config{})
	if len(r.Processes) != 1 || r.Processes[0].Args[0] != "second" || r.Status != 0 {
		t.Fatalf("%+v, %v", r.Processes, r.Status)
	}
	// One on the first thread, one to four on others, one of the second program.
	sockets := calls(r, "socket")
	if len(sockets) < 2 {
		t.Fatalf("%d sockets", len(sockets))
	}
	if last := sockets[len(sockets)-1]; last.End == 0 || last.TID != 0 && last.PID != r.Processes[0].PID {
		t.Errorf("the second program: %+v", last)
	}
}

func TestStatus(t *testing.T) {
	if r := record(t, "exited", Config{}); r.Status.ExitStatus() != 7 || r.Processes[0].Status != "exit status 7" {
		t.Errorf("%+v, %#x", r.Processes, r.Status)
	}
}

func TestDiesInCall(t *testing.T) {
	r := record(t, "killed", Config{})
	if r.Processes[0].Status != "signal: killed" || !r.Status.Signaled() {
		t.Errorf("%+v", r.Processes)
	}
	if c := calls(r, "accept4"); len(c) != 1 || c[0].End != 0 || c[0].FD.Socket == 0 {
		t.Errorf("%+v", c)
	}
}

func TestSignals(t *testing.T) {
	if r := record(t, "signals", Config{}); r.Status != 0 {
		t.Errorf("status %#x", r.Status)
	}
}

func TestStoppedChild(t *testing.T) {
	r := record(t, "stopped", Config{})
	if r.Status != 0 || len(calls(r, "socket")) != 2 {
		t.Errorf("status %#x, %d sockets", r.Status, len(calls(r, "socket")))
	}
}

func TestSetuid(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	r := record(t, "setuid", Config{})
	sockets := calls(r, "socket")
	if r.Status != 0 || len(sockets) != 2 {
		t.Fatalf("status %#x, %d sockets", r.Status, len(sockets))
	}
	if s := socketOf(t, r, sockets[1].New.Socket); s.Inode == 0 || s.Cookie == 0 || s.Backlog != 16 {
		t.Errorf("%+v", s)
	}
}

func TestManyCalls(t *testing.T) {
	r := record(t, "many", Config{})
	if n := len(calls(r, "socket")) + len(calls(r, "close")); n != manyCalls {
		t.Errorf("%d calls, want %d", n, manyCalls)
	}
	first, last := r.Calls[0], r.Calls[len(r.Calls)-1]
	t.Logf("%.0f calls/s", float64(len(r.Calls))/time.Duration(last.End-first.Begin).Seconds())
}

func TestRing(t *testing.T) {
	r := record(t, "ring", Config{})
	if len(r.Unseen) != 1 || !strings.Contains(r.Unseen[0], "io_uring") {
		t.Errorf("%q", r.Unseen)
	}
}

// TestCancel: whatever was started goes, even what ignores signals.
func TestCancel(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	ctx, cancel := context.WithCancel(t.Context())
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := Config{Command: program("serve"), Grace: 100 * time.Millisecond}
	c.Command.Stdout = in
	go func() {
		hello(t, out)
		cancel()
	}()
	r, err := Record(ctx, c)
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	whole(t, r.Recording)
	if last := r.Processes[len(r.Processes)-1]; last.Status != "signal: killed" || !r.Ended {
		t.Errorf("%+v", r.Processes)
	}
	for _, p := range r.Processes {
		// Init waits for those that lost their parent.
		until(t, "it is gone", func() bool { return stateOf(p.PID) == "" })
	}
}

// hello reads the port that a server prints, and what it says to a client.
func hello(t *testing.T, from *os.File) (port string) {
	port, err := bufio.NewReader(from).ReadString('\n')
	if err != nil {
		t.Error(err)
		return ""
	}
	port = strings.TrimSpace(port)
	greet(t, port)
	return port
}

func greet(t *testing.T, port string) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 30*time.Second)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	if text, err := bufio.NewReader(c).ReadString('\n'); err != nil || text != "hello\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestAttach: processes that run already are traced, and run on afterwards.
func TestAttach(t *testing.T) {
	testleak.FDs(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := self("serve")
	cmd.Stdout = in
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	defer cmd.Wait()
	defer unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // the child too
	port := hello(t, out)

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		until(t, "both are traced", func() bool { return traced(cmd.Process.Pid) && traced(childOf(cmd.Process.Pid)) })
		greet(t, port)
	}()
	r, err := Record(ctx, Config{Attach: []int{cmd.Process.Pid}, Packets: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Processes) != 2 {
		t.Errorf("%d processes, want 2", len(r.Processes))
	}
	for _, p := range r.Processes {
		if p.Begin != 0 {
			t.Errorf("process %d ran already, and begins at %v", p.PID, p.Begin)
		}
	}
	accepted := 0
	for _, c := range calls(r, "accept4") {
		if c.New != nil && socketOf(t, r, c.New.Socket).From == c.FD.Socket {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d connections accepted, want 1", accepted)
	}
	listeners := 0
	for _, s := range r.Sockets {
		if s.Listens {
			listeners++
		}
	}
	if listeners != 2 {
		t.Errorf("%d listeners, want 2: the child, which calls nothing, has its own", listeners)
	}
	if len(r.Depths) == 0 || os.Getuid() == 0 && len(r.Packets) < 5 {
		t.Errorf("the listener was not watched: %v, %d packets", r.Depths, len(r.Packets))
	}
	for _, pid := range []int{cmd.Process.Pid, childOf(cmd.Process.Pid)} {
		if traced(pid) {
			t.Errorf("process %d is still traced", pid)
		}
		if state := stateOf(pid); strings.ContainsAny(state, "Tt") {
			t.Errorf("process %d is left stopped", pid)
		}
	}
	greet(t, port)
}

// TestCut: what is watched while attached processes are let go isn't kept.
func TestCut(t *testing.T) {
	r := &recording.Recording{
		Packets: []recording.Packet{{Time: 1}, {Time: 2}, {Time: 3}},
		Depths:  []recording.Depth{{Time: 2}, {Time: 4}},
	}
	if cut(r, 2); len(r.Packets) != 2 || len(r.Depths) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestAttachStopped: one that is stopped is traced, and left as it was.
func TestAttachStopped(t *testing.T) {
	testleak.FDs(t)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pid := cmd.Process.Pid
	unix.Kill(pid, unix.SIGSTOP)
	until(t, "it is stopped", func() bool { return strings.Contains(stateOf(pid), "T") })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		until(t, "it is traced", func() bool { return traced(pid) })
	}()
	if _, err := Record(ctx, Config{Attach: []int{pid}}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is stopped as before", func() bool { return strings.Contains(stateOf(pid), "T") })
	unix.Kill(pid, unix.SIGCONT)
	until(t, "it goes on", func() bool { return strings.Contains(stateOf(pid), "S") })
}

func TestNoProcess(t *testing.T) {
	if _, err := Record(t.Context(), Config{Attach: []int{1 << 30}}); err == nil {
		t.Error("no error")
	}
	c := Config{}
	c.Command.Args = []string{"/no/such/program"}
	if _, err := Record(t.Context(), c); err == nil {
		t.Error("no error")
	}
	c.Command.Args = []string{"/etc/passwd"}
	if _, err := Record(t.Context(), c); err == nil {
		t.Error("no error")
	}
}

func until(t *testing.T, what string, holds func() bool) {
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("in 30 s it never held that %s", what)
			return
		}
	}
}

// statusOf is a line of /proc/PID/status.
func statusOf(pid int, name string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":\t"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func traced(pid int) bool    { tracer := statusOf(pid, "TracerPid"); return tracer != "" && tracer != "0" }
func stateOf(pid int) string { return statusOf(pid, "State") }

// childOf is a child of any of its threads.
func childOf(pid int) (child int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		fmt.Sscan(string(b), &child)
	}
	return child
}
