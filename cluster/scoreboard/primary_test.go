package scoreboard

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/testleak"
)

// A primary is one in a process of its own.
type primary struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.Closer
	lines   chan string
	addr    string
	workers []int
}

func startPrimary(t *testing.T, mode cluster.Mode, env ...string) *primary {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), envPrimary+"="+mode.String(), envRole+"=http", fastExit), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &primary{t: t, cmd: cmd, in: in, lines: make(chan string, 1000)}
	read := make(chan bool)
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		hung := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		<-read // the workers have it too
		cmd.Wait()
		hung.Stop()
	})
	for range 2 {
		pid, _ := strconv.Atoi(p.line("worker "))
		p.workers = append(p.workers, pid)
	}
	p.addr = p.line("address ")
	return p
}

// line returns the rest of the next line with that prefix.
func (p *primary) line(prefix string) string {
	p.t.Helper()
	late := time.After(patience)
	for {
		select {
		case s := <-p.lines:
			if rest, ok := strings.CutPrefix(s, prefix); ok {
				return rest
			}
		case <-late:
			p.t.Fatalf("no line %q came", prefix)
		}
	}
}

func (p *primary) kill() {
	p.cmd.Process.Kill()
	p.cmd.Process.Wait()
}

// cpu is the processor time of a process in clock ticks of 10 ms, and -1 when it
// is gone.
func cpu(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return -1
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third of proc_pid_stat(5) on
	if fields[0] == "Z" {
		return -1
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}
