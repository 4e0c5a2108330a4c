package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"onconn/internal/netns"
	"onconn/internal/terminal"
	"onconn/internal/testleak"
)

func TestList(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	stalled(t, n, "127.0.0.1:9090", 511)
	knock(t, n, 8080, 9)
	r := run(t, n, "--sample", "1500ms")
	if r.code != 0 || !strings.Contains(r.stdout, "LISTEN      6      5 127.0.0.1:8080        6 100%") {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"1 quiet listener hidden: -a", "somaxconn 4096", "✗ :8080  Accept queue full: 6 of 6 places", "backlogprobe set :8080 4096"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("it doesn't say %q: %s", want, r.stderr)
		}
	}
	if r := run(t, n, "-a", "-q", "-H", "--sample", "0"); strings.Count(r.stdout, "\n") != 2 || r.stderr != "" {
		t.Errorf("-a -q -H: %+v", r)
	}
	if r := run(t, n, "list", ":8080", "--sample", "0", "-v", "--ascii"); !strings.Contains(r.stderr, "in the queue") || !ascii(r.stdout+r.stderr) {
		t.Errorf("-v --ascii: %+v", r)
	}
	if r := run(t, n, "--color=always", "--sample", "0"); !strings.Contains(r.stdout, "\x1b[1;31mLISTEN") {
		t.Errorf("--color=always: %q", r.stdout)
	}
	if r := run(t, n, ":1"); r.code != 0 || r.stdout != "" || r.stderr != "no listener matches :1\n" {
		t.Errorf(":1: %+v", r)
	}
	if r := run(t, n, "-o", "local,hurt", ":8080"); !strings.HasPrefix(r.stdout, "Local Address:Port Hurt\n127.0.0.1:8080") {
		t.Errorf("-o: %q", r.stdout)
	}
}

func ascii(text string) bool {
	return !slices.ContainsFunc([]byte(text), func(c byte) bool { return c > 126 })
}

// The first columns are those of ss -ltn.
func TestListLikeSS(t *testing.T) {
	if _, err := exec.LookPath("ss"); err != nil {
		t.Skip("no ss: ", err)
	}
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	stalled(t, n, "0.0.0.0:8081", 511)
	stalled(t, n, "[::1]:8082", 4096)
	stalled(t, n, "[::]:8083", 0)
	knock(t, n, 8080, 3)
	ss := exec.Command("ss", "-ltn")
	first := func(out string) string {
		var lines []string
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); f[0] == "LISTEN" {
				lines = append(lines, strings.Join(f[:4], " "))
			}
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	until(t, "both show the same", func() bool {
		var ours, theirs string
		ours = first(run(t, n, "-a", "-l", "-t", "-n", "-p", "--sample", "0").stdout)
		ss = exec.Command("ss", "-ltn")
		theirs = first(finish(t, n, ss).stdout)
		return ours == theirs && strings.Contains(ours, "LISTEN 3 5 127.0.0.1:8080") && strings.Count(ours, "\n") == 3
	})
}

func TestListWatch(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	for _, args := range [][]string{{":8080", "0.2", "3"}, {"list", "sport = :8080", "0.2", "3"}} {
		r := run(t, n, append(args, "--json")...)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if r.code != 0 || len(lines) != 3 || r.stderr != "" {
			t.Fatalf("%q: %+v", args, r)
		}
		for _, line := range lines {
			var v struct {
				Schema    string
				Listeners []struct {
					Local string
					Limit int
				}
			}
			if err := json.Unmarshal([]byte(line), &v); err != nil || v.Schema != "backlogprobe/1" || len(v.Listeners) != 1 || v.Listeners[0].Limit != 5 {
				t.Errorf("%v: %s", err, line)
			}
		}
	}
}

// Ctrl-C ends a watch with 0, and an unread pipe ends it in silence.
func TestListEnds(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	for _, end := range []string{"interrupt", "close"} {
		cmd := command(t, "-w", "0.2")
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = in, &stderr
		n.Do(func() { err = cmd.Start() })
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if end == "interrupt" {
			cmd.Process.Signal(os.Interrupt)
			cmd.Wait()
			out.Close()
			if cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("%v: %v %s", end, cmd.ProcessState, stderr.String())
			}
			continue
		}
		out.Close()
		cmd.Wait()
		if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGPIPE || strings.Contains(stderr.String(), "pipe") {
			t.Errorf("%v: %v %s", end, cmd.ProcessState, stderr.String())
		}
	}
}

func TestListUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	cmd := command(t, "--sample", "300ms")
	cmd.Path = readable(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	r := finish(t, n, cmd)
	if r.code != 0 || !strings.Contains(r.stdout, "127.0.0.1:8080") || !strings.Contains(r.stderr, "1 owner hidden: run as root for names (queues and drops are complete)") {
		t.Errorf("%+v", r)
	}
}

// readable copies the test binary to where other users may execute it.
func readable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "backlogprobe-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(dir+"/backlogprobe", b, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/backlogprobe"
}

func TestMistakes(t *testing.T) {
	n := netns.New(t)
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--bogus"}, 64, "unknown flag: --bogus"},
		{[]string{"not", "nonsense"}, 64, "a filter is :PORT"},
		{[]string{"chek"}, 64, "did you mean backlogprobe check?"},
		{[]string{"-o", "bogus"}, 64, "the fields are state,recv-q"},
		{[]string{"--sample", "-1s"}, 64, "negative"},
		{[]string{"--color", "blue"}, 64, "auto, always or never"},
		{[]string{":80", "1", "0"}, 64, "no count"},
		{[]string{"-w", "0.01"}, 64, "no interval"},
		{[]string{"-N", "backlogprobe-test-none"}, 1, "no network namespace"},
		{[]string{"check", "--warn-fill", "101"}, 64, "never warn"},
		{[]string{"check", "--max-drops", "0", "--sample", "0"}, 64, "one reading shows no refusals"},
		{[]string{"check", "--bogus"}, 64, "unknown flag"},
		{[]string{"set", ":80"}, 64, "needs a filter and a backlog"},
		{[]string{"set", ":80", "x", "-y"}, 64, "no backlog"},
		{[]string{"set", ":80", "-5", "-y"}, 64, ""},
		{[]string{"set", ":80", "5"}, 64, "say --yes"},
		{[]string{"set", ":80", "5", "-y"}, 1, "no listener matches :80"},
		{[]string{"advise"}, 64, "needs a filter"},
		{[]string{"advise", ":80", "--arrivals", "5"}, 64, "leave the filter out"},
		{[]string{"advise", "--arrivals", "5"}, 64, "needs --stall"},
		{[]string{"advise", "--accepts", "5"}, 64, "needs --arrivals"},
		{[]string{"advise", ":80", "--for", "1s"}, 64, "2s or more"},
		{[]string{"advise", ":80"}, 1, "no listener matches :80"},
		{[]string{"man"}, 64, "needs a directory"},
	} {
		r := run(t, n, tt.args...)
		if r.code != tt.code || !strings.Contains(r.stderr, tt.says) || r.stdout != "" {
			t.Errorf("%q: %+v", tt.args, r)
		}
	}
}

func TestHelp(t *testing.T) {
	n := netns.New(t)
	for _, name := range []string{"", "list", "check", "advise", "set"} {
		args := []string{"--help"}
		if name != "" {
			args = []string{name, "--help"}
		}
		r := run(t, n, args...)
		if lines := strings.Count(r.stdout, "\n"); r.code != 0 || lines > 24 || strings.Count(r.stdout, "  backlogprobe ")+strings.Count(r.stdout, " sudo backlogprobe") < 3 {
			t.Errorf("%s: %d lines\n%s", name, lines, r.stdout)
		}
		for line := range strings.Lines(r.stdout) {
			if terminal.Cells(line) > 80 {
				t.Errorf("%s: too wide: %s", name, line)
			}
		}
	}
}

func TestComplete(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	for _, args := range [][]string{{""}, {"set", ""}, {"check", ""}, {"advise", ":8"}} {
		r := run(t, n, append([]string{"__complete"}, args...)...)
		want := fmt.Sprintf(":8080\t%s[%d]", comm(t), os.Getpid())
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q completes to %q, without %q", args, r.stdout, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := run(t, n, "completion", shell); r.code != 0 || !strings.Contains(r.stdout, "backlogprobe") {
			t.Errorf("%s: %+v", shell, r)
		}
	}
}

func comm(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestMan(t *testing.T) {
	dir := t.TempDir()
	if r := run(t, netns.New(t), "man", dir); r.code != 0 || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	for _, page := range []string{"backlogprobe.1", "backlogprobe-set.1", "backlogprobe-advise.1", "backlogprobe-explain.1"} {
		if b, err := os.ReadFile(dir + "/" + page); err != nil || !strings.HasPrefix(string(b), ".") {
			t.Errorf("%s: %v %.40s", page, err, b)
		}
	}
}
