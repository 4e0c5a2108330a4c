package probe

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/sock"
)

// server starts a real one, which prints its port when it listens.
func server(t *testing.T, name string, args ...string) (pid int, target Target) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var port uint16
	line, _ := bufio.NewReader(out).ReadString('\n')
	if _, err := fmt.Sscan(line, &port); err != nil {
		t.Fatalf("%s said %q", name, line)
	}
	return cmd.Process.Pid, Target{sock.IPAddr(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)), true}
}

const python = `
import socket, sys
s = socket.create_server(("127.0.0.1", 0), backlog=20)
print(s.getsockname()[1], flush=True)
held = []
while True: held.append(s.accept())
`

const node = `
const s = require("net").createServer(c => c.on("error", () => {}));
s.listen({port: 0, host: "127.0.0.1", backlog: 50}, () => console.log(s.address().port));
`

func running(t *testing.T, pid int) bool {
	t.Helper()
	states, err := threadStates(pid)
	if err != nil {
		t.Fatal(err)
	}
	return !strings.ContainsAny(states, "Tt")
}

func TestStopAccepting(t *testing.T) {
	for _, c := range []struct {
		name     string
		args     []string
		capacity int
	}{
		{"python3", []string{"-c", python}, 21},
		{"node", []string{"-e", node}, 51},
	} {
		t.Run(c.name, func(t *testing.T) {
			testleak.FDs(t)
			testleak.Zombies(t)
			pid, target := server(t, c.name, c.args...)
			report, err := Connect(background(t), Options{Target: target, StopAccepting: true, Burst: 100, Max: 1000, Wait: 10 * time.Second, Reset: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := report.Capacity; got.Measured != c.capacity || got.AtLeast || got.Refusal != Silence || got.Refused != extra ||
				got.Stopped <= 0 || got.Stopped > maxStop+time.Second {
				t.Errorf("%+v", got)
			}
			if got := report.Recovery; got.Clients != extra || got.Connected != extra || got.Longest < time.Second/2 {
				t.Errorf("%+v", got)
			}
			if !running(t, pid) {
				t.Error("the server is still stopped")
			}
			if owners := report.Listener.Owners; len(owners) != 1 || owners[0].PID != pid {
				t.Errorf("%+v", owners)
			}
		})
	}
}

// Nothing that may end us leaves a server stopped: the resumer sees the pipe close.
func TestResumedWhenKilled(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	pid, _ := server(t, "python3", "-c", python)
	for _, signal := range []os.Signal{os.Kill, os.Interrupt, syscall.SIGTERM} {
		prober := exec.Command("/proc/self/exe")
		prober.Env = append(os.Environ(), fmt.Sprint("PROBE_TEST_STOP=", pid))
		out, err := prober.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := prober.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if line != "stopped <nil>\n" {
			t.Fatalf("said %q", line)
		}
		if running(t, pid) {
			t.Error("the server isn't stopped")
		}
		prober.Process.Signal(signal)
		prober.Wait()
		// Less than the bound, which would resume it too.
		if !until(background(t), maxStop/2, func() bool { return running(t, pid) }) {
			t.Errorf("still stopped after %v", signal)
		}
	}
}

func TestResumedAfterBound(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	pid, _ := server(t, "python3", "-c", python)
	s, err := stopProcesses([]int{pid})
	if err != nil {
		t.Fatal(err)
	}
	if !until(background(t), 10*time.Second, func() bool { return running(t, pid) }) {
		t.Error("still stopped")
	}
	if !s.overdue() {
		t.Error("it resumed early, or doesn't know that it was late")
	}
	if _, err := s.resume(); err != nil {
		t.Error(err)
	}
}

func TestMayNotStop(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	pid, _ := server(t, "python3", "-c", python)
	for _, own := range []int{1, os.Getpid(), os.Getppid()} {
		if s, err := stopProcesses([]int{pid, own}); err == nil {
			s.resume()
			t.Errorf("stopped %d", own)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if !until(background(t), 10*time.Second, func() bool { return !running(t, pid) }) {
		t.Fatal("not stopped")
	}
	if s, err := stopProcesses([]int{pid}); err == nil {
		s.resume()
		t.Error("stopped what was stopped already, and resumed it")
	}
	if running(t, pid) {
		t.Error("resumed what somebody else has stopped")
	}
	if s, err := stopProcesses([]int{1 << 22}); err == nil {
		s.resume()
		t.Error("stopped a process that isn't there")
	}
}

// The child may be killed, by the OOM killer say.
func TestResumedWithoutChild(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	pid, _ := server(t, "python3", "-c", python)
	s, err := stopProcesses([]int{pid})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.resume(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it says %v", err)
	}
	if !until(background(t), 10*time.Second, func() bool { return running(t, pid) }) {
		t.Error("still stopped")
	}
}
