// Package exampletest runs an example as its user would, and looks at what it
// prints and leaves behind.
package exampletest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// patience is how long anything may take.
const patience = 30 * time.Second

// Build compiles the example in the current directory, with the race detector
// if the test has it, and returns the program's path.
func Build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "example")
	args := []string{"build", "-o", path}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// A Program is an example that runs.
type Program struct {
	PID int

	t      *testing.T
	cmd    *exec.Cmd
	out    *os.File
	lines  *bufio.Scanner
	said   []string
	stderr string // a file
	marker string // in the environment of all its processes
	ended  bool
}

// Start starts it. At the end of the test it is killed, unless it has ended.
func Start(t *testing.T, path string, args ...string) *Program {
	t.Helper()
	testleak.FDs(t)
	p := &Program{
		t:      t,
		cmd:    exec.Command(path, args...),
		stderr: filepath.Join(t.TempDir(), "stderr"),
		marker: fmt.Sprintf("EXAMPLE_TEST=%d-%s-%d", os.Getpid(), t.Name(), time.Now().UnixNano()),
	}
	stderr, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	// Files and not writers, so that Wait waits for the process alone and not
	// for the children that it may leave behind.
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	p.cmd.Env = append(os.Environ(), p.marker, "GORACE=atexit_sleep_ms=0")
	if err := p.cmd.Start(); err != nil {
		out.Close()
		t.Fatal(err)
	}
	p.PID, p.out, p.lines = p.cmd.Process.Pid, out, bufio.NewScanner(out)
	t.Cleanup(p.cleanup)
	return p
}

func (p *Program) cleanup() {
	if !p.ended {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
	for _, pid := range p.Processes() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	p.out.Close()
	if p.t.Failed() {
		p.t.Logf("%v printed\n%s\n%s", p.cmd.Args, strings.Join(p.said, "\n"), p.Stderr())
	}
}

// Line reads until a line matches, and returns its submatches.
func (p *Program) Line(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	p.out.SetReadDeadline(time.Now().Add(patience))
	for p.lines.Scan() {
		p.said = append(p.said, p.lines.Text())
		if m := re.FindStringSubmatch(p.lines.Text()); m != nil {
			return m
		}
	}
	p.t.Fatalf("no line is like %s (%v)", pattern, p.lines.Err())
	return nil
}

// Interrupt sends what Ctrl-C does.
func (p *Program) Interrupt() { p.cmd.Process.Signal(syscall.SIGINT) }

// End waits until the program has ended, with 0 and with all its children.
func (p *Program) End() {
	p.t.Helper()
	late := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	late.Stop()
	p.ended = true
	if err != nil {
		p.t.Errorf("it ended with %v", err)
	}
	if left := p.Processes(); len(left) > 0 {
		p.t.Errorf("it left processes behind: %v", left)
	}
	p.out.SetReadDeadline(time.Now().Add(patience))
	for p.lines.Scan() {
		p.said = append(p.said, p.lines.Text())
	}
}

// KillEnds kills the program, and waits until its children have ended too.
func (p *Program) KillEnds() {
	p.t.Helper()
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.ended = true
	Eventually(p.t, "its children end too", func() bool { return len(p.Processes()) == 0 })
}

// Said is all that it has printed, as far as it was read.
func (p *Program) Said() string { return strings.Join(p.said, "\n") + "\n" }

// Stderr is what it has printed there.
func (p *Program) Stderr() string {
	b, _ := os.ReadFile(p.stderr)
	return string(b)
}

// Processes are the processes of the program that live, also those whose
// parent has gone.
func (p *Program) Processes() (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		env, err := os.ReadFile(file) // empty for a zombie
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), p.marker) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// Children are those apart from the first one.
func (p *Program) Children() []int {
	return slices.DeleteFunc(p.Processes(), func(pid int) bool { return pid == p.PID })
}

// Get asks over a new connection.
func Get(t *testing.T, url string) (body string, header http.Header) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", r.Status, err)
	}
	return string(b), r.Header
}

// Refused checks that the program ends with this code and says this on its
// standard error.
func Refused(t *testing.T, path string, code int, says string, args ...string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = &stderr
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer late.Stop()
	out, _ := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(stderr.String(), says) {
		t.Errorf("%v: exit code %d, not %d with %q:\n%s", args, got, code, says, stderr.String())
	}
	if strings.Contains(string(out), "listen") {
		t.Errorf("%v: it says that it listens: %s", args, out)
	}
}

// Eventually waits for a condition that other processes bring about.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
