package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/terminal"
	"onconn/internal/testleak"
)

// running is an onconn with a control socket in a directory of the test.
func running(t *testing.T, args ...string) (s *served, addr, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control")
	s = serve(t, append([]string{"-l", "127.0.0.1:0", "--control", path}, args...)...)
	addr = s.line(`listening on (\S+)`)[1]
	return s, addr, path
}

// status is what onconn status --json says.
func status(t *testing.T, path string) (s cluster.Status) {
	t.Helper()
	code, stdout, stderr := result(t, "status", "--json", "--control", path)
	if code != 0 {
		t.Fatalf("status: exit %d\n%s", code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatalf("%v in\n%s", err, stdout)
	}
	return s
}

func workers(s cluster.Status) (pids []int) {
	for _, w := range s.Workers {
		pids = append(pids, w.PID)
	}
	slices.Sort(pids)
	return pids
}

// ok runs a command that must succeed.
func ok(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := result(t, args...)
	if code != 0 {
		t.Errorf("onconn %s: exit %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout, stderr
}

// A load asks all the time, each request on a connection of its own.
type load struct {
	requests atomic.Int64
	failed   atomic.Pointer[error]
	stop     chan struct{}
	clients  sync.WaitGroup
}

func ask(addr string) *load {
	l := &load{stop: make(chan struct{})}
	for range 4 {
		l.clients.Go(func() {
			client := oneShot(nil)
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if err := l.one(client, addr); err != nil {
					l.failed.CompareAndSwap(nil, &err)
				}
				l.requests.Add(1)
			}
		})
	}
	return l
}

func (l *load) one(client *http.Client, addr string) error {
	r, err := client.Get("http://" + addr + "/")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "hello world\n" {
		return fmt.Errorf("the answer is %q, %v", b, err)
	}
	return nil
}

// end returns when all have their answers.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	if err := l.failed.Load(); err != nil {
		t.Errorf("a request failed: %v", *err)
	}
	if l.requests.Load() == 0 {
		t.Error("nobody asked")
	}
}

// Under load the workers are replaced, and become more and fewer, and no request
// fails.
func TestOperations(t *testing.T) {
	testleak.FDs(t)
	for _, mode := range []string{"rr", "shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			s, addr, path := running(t, "-n", "2", "-m", mode)
			s.line("all 2 workers are ready")
			l := ask(addr)
			first := status(t, path)
			if first.PID != s.cmd.Process.Pid || first.Target != 2 || first.Mode.String() != mode || len(first.Workers) != 2 {
				t.Errorf("the status is %+v", first)
			}
			if _, said := ok(t, "reload", "--control", path); !strings.Contains(said, "reloaded") {
				t.Errorf("reload says %q", said)
			}
			until(t, func() bool { // the old ones have gone
				now := status(t, path)
				return len(now.Workers) == 2 && !slices.ContainsFunc(workers(now), func(pid int) bool { return slices.Contains(workers(first), pid) })
			})
			ok(t, "scale", "4", "--control", path)
			if now := status(t, path); now.Target != 4 || len(now.Workers) != 4 {
				t.Errorf("scaled up, the status is %+v", now)
			}
			ok(t, "scale", "1", "--control", path)
			until(t, func() bool { return len(status(t, path).Workers) == 1 })
			l.end(t)
			if code := s.stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if exists(path) {
				t.Error("the control socket is left")
			}
		})
	}
}

// The process and its workers stay, and no request fails.
func TestUpgrade(t *testing.T) {
	testleak.FDs(t)
	s, addr, path := running(t, "-n", "2", "--metrics", "127.0.0.1:"+strconv.Itoa(freePort(t)))
	s.line("all 2 workers are ready")
	l := ask(addr)
	before := status(t, path)
	if _, said := ok(t, "upgrade", "--control", path); !strings.Contains(said, "upgraded") {
		t.Errorf("upgrade says %q", said)
	}
	s.line("upgraded, version .*, 2 workers stay")
	after := status(t, path)
	if after.Upgrades != 1 || after.PID != before.PID || !slices.Equal(workers(after), workers(before)) {
		t.Errorf("the status is %+v, and was %+v", after, before)
	}
	s.cmd.Process.Signal(syscall.SIGUSR2)
	until(t, func() bool {
		code, stdout, _ := result(t, "status", "--control", path)
		return code == 0 && strings.Contains(stdout, "2 upgrades")
	})
	ok(t, "reload", "--control", path)
	l.end(t)
	if code := s.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if said := s.stderr.String(); strings.Contains(said, "onconn: ") {
		t.Errorf("standard error: %s", said)
	}
}

// Signals do the same as the commands, under nohup(1) too.
func TestSignals(t *testing.T) {
	testleak.FDs(t)
	path := filepath.Join(t.TempDir(), "control")
	cmd := command("-n", "1", "-l", "127.0.0.1:0", "--control", path)
	cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`}, cmd.Args...)
	cmd.Path = "/bin/sh"
	s := serveCommand(t, cmd)
	s.line("the worker is ready")
	first := workers(status(t, path))
	s.cmd.Process.Signal(syscall.SIGTTIN) // two at once would have no order
	s.line("scale complete, 2 workers$")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.line("reload complete, 2 workers$")
	until(t, func() bool { return len(status(t, path).Workers) == 2 })
	if now := workers(status(t, path)); slices.Contains(now, first[0]) {
		t.Errorf("the workers are %v, and one was %v", now, first)
	}
	s.cmd.Process.Signal(syscall.SIGTTOU)
	s.line("scale complete, 1 worker$")
	s.cmd.Process.Signal(syscall.SIGTTOU)
	until(t, func() bool { return strings.Contains(s.stderr.String(), "one worker has to stay") })
	if code := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A reload to a program that never gets ready leaves the old workers.
func TestReloadFails(t *testing.T) {
	testleak.FDs(t)
	need(t, "python3")
	server, err := filepath.Abs("../../testdata/servers/listenfds.py")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "server")
	write(t, script, "#!/bin/sh\nexec python3 "+server+"\n")
	s, addr, path := running(t, "-n", "2", "-m", "shared", "--", script)
	s.line("all 2 workers are ready")
	before := workers(status(t, path))
	write(t, script, "#!/bin/sh\necho no such luck >&2\nexit 3\n")
	code, _, stderr := result(t, "reload", "--control", path)
	if code != 1 || !strings.Contains(stderr, "no such luck") || !strings.Contains(stderr, "exit status 3") {
		t.Errorf("reload: exit %d\n%s", code, stderr)
	}
	if now := workers(status(t, path)); !slices.Equal(now, before) {
		t.Errorf("the workers are %v, and were %v", now, before)
	}
	answers(t, addr, 5)
	if stdout, _ := ok(t, "status", "--control", path); !strings.Contains(stdout, " - ") {
		t.Errorf("something is known of a program that tells nothing:\n%s", stdout)
	}
	s.stop(syscall.SIGTERM)
}

func TestStatusText(t *testing.T) {
	now := time.Unix(1000, 0)
	s := cluster.Status{
		PID: 7, Started: now.Add(-time.Hour), Program: "/bin/x\x1b", Mode: cluster.ReusePort, Target: 3, Doing: "reload", Upgrades: 1,
		Listeners: []cluster.ListenerStatus{
			{Network: "tcp", Address: "[::]:80", Mode: cluster.ReusePort, Sockets: 2, Queue: 900, Limit: 511, Drops: 4, Held: 1, Steering: "ebpf least-loaded", Away: []int{1, 2}},
			{Network: "unix", Address: "/run/x", Mode: cluster.RoundRobin, Sockets: 1, Limit: 511, Drops: -1},
		},
		Workers: []cluster.WorkerStatus{
			{ID: 1, Slot: 0, PID: 10, State: "online", Started: now.Add(-time.Minute), Accepted: 12345, Active: 3, Queued: 1, Restarts: 2, LastAlive: now.Add(-300 * time.Millisecond), CPU: 1500 * time.Millisecond, RSS: 20 << 20},
			{ID: 2, Slot: 1, PID: 11, State: "hung", Started: now.Add(-time.Minute), LastAlive: now.Add(-9 * time.Second)},
			{ID: 3, Slot: 2, PID: 12, State: "starting", Started: now},
		},
	}
	want := `onconn 7 runs /bin/x?
up 1h, mode reuseport, 1 of 3 workers online, 1 upgrade, reload under way

Slot PID State    Age Taken Active Queue Restarts Alive  CPU    RSS
   0  10 online   60s 12345      3     1        2 300ms 1.5s 20 MiB
   1  11 hung     60s     0      0     0        0  9.0s   0s    0 B x
   2  12 starting  0s     -      -     -        0     -   0s    0 B

Recv-Q Send-Q Drops Held Sockets Mode      Local Address:Port
   900    511     4    1       2 reuseport [::]:80 !
     0    511     -    0       1 rr        /run/x
[::]:80: steering ebpf least-loaded, away from slots 1, 2
`
	style := terminal.Style{ASCII: true, Width: 80}
	if got := statusText(s, now, style); got != want {
		t.Errorf("it is\n%s", got)
	}
	style.Colour = true
	if got := statusText(s, now, style); strings.Contains(got, "/bin/x\x1b") || !strings.Contains(got, "\x1b[1;31m") {
		t.Errorf("in colour it is\n%q", got)
	}
}

func TestStatusWatch(t *testing.T) {
	testleak.FDs(t)
	s, _, path := running(t, "-n", "1")
	s.line("the worker is ready")
	w := serve(t, "status", "--control", path, "--json", "--watch=100ms")
	for range 3 {
		w.line(fmt.Sprintf(`^{"pid":%d,.*"state":"online"`, s.cmd.Process.Pid))
	}
	if code := w.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w = serve(t, "status", "--control", path, "--watch=100ms")
	w.line(`^onconn \d+ runs`)
	w.line(`^onconn \d+ runs`)
	s.stop(syscall.SIGTERM)
	if code := w.stop(syscall.SIGCONT); code != 1 || !strings.Contains(w.stderr.String(), "control socket") {
		t.Errorf("when onconn has ended, the exit code is %d\n%s", code, w.stderr.String())
	}
}

func TestControlMistakes(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	s, addr, path := running(t, "-n", "1")
	s.line("the worker is ready")
	none := dir + "/none"
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"status --control " + none, 1, "there is none"},
		{"reload --control " + none, 1, "there is none"},
		{"status x", 64, "no pid and no port"},
		{"status :65536", 64, "no pid and no port"},
		{"status 1 2", 64, `unexpected "2"`},
		{"status 1 --control " + path, 64, "one of them"},
		{"status --watch=1ms", 64, "--watch"},
		{"status --watch 2s", 64, "it is --watch=2s"},
		{"status --color=x", 64, "unknown colour"},
		{"scale", 64, "how many"},
		{"scale 0", 64, "1 to 4096"},
		{"scale 4097", 64, "1 to 4096"},
		{"scale x", 64, "1 to 4096"},
		{"scale 1 2 3", 64, `unexpected "3"`},
		{"--control=", 64, "--control"},
		{"--control @x -l " + none, 1, "abstract"},
		{"--control " + path + " -l " + none, 1, "address already in use"},
		{"--metrics x", 64, "--metrics"},
		{"--metrics " + addr + " -l " + none, 1, "address already in use"},
		{"--hang-after 0", 64, "--hang-after"},
		{"--kill-hung 1ms", 64, "--kill-hung"},
		{"--ready-timeout 0", 64, "--ready-timeout"},
		{"--notify", 64, "--notify"},
	} {
		code, _, stderr := result(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("onconn %s: exit %d, not %d with %q:\n%s", c.args, code, c.code, c.says, stderr)
		}
	}
	if code := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// By default the socket is where status finds it, by pid and by port.
func TestFound(t *testing.T) {
	testleak.FDs(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var all []*served
	var addrs []string
	for range 2 {
		s := serve(t, "-n", "1", "-l", "127.0.0.1:0")
		addrs = append(addrs, s.line(`listening on (\S+)`)[1])
		s.line(fmt.Sprintf("onconn status %d shows", s.cmd.Process.Pid))
		s.line("the worker is ready")
		all = append(all, s)
	}
	for i, s := range all {
		port := addrs[i][strings.LastIndexByte(addrs[i], ':'):]
		for _, which := range []string{strconv.Itoa(s.cmd.Process.Pid), port} {
			stdout, _ := ok(t, "status", which)
			if !strings.HasPrefix(stdout, fmt.Sprintf("onconn %d runs ", s.cmd.Process.Pid)) {
				t.Errorf("status %s is\n%s", which, stdout)
			}
			if _, said := ok(t, "scale", "2", which); !strings.Contains(said, "scaled to 2") {
				t.Errorf("scale says %q", said)
			}
		}
	}
	for _, args := range [][]string{{"status"}, {"status", "999999999"}} {
		code, _, stderr := result(t, args...)
		for i, s := range all {
			if line := fmt.Sprintf("  %d  %s  ", s.cmd.Process.Pid, addrs[i]); code != 1 || !strings.Contains(stderr, line) {
				t.Errorf("%v: exit %d, and %q is not in\n%s", args, code, line, stderr)
			}
		}
	}
	_, completions, _ := result(t, "__complete", "status", "")
	_, numbers, _ := result(t, "__complete", "scale", "")
	for i, s := range all {
		for _, word := range []string{strconv.Itoa(s.cmd.Process.Pid), addrs[i][strings.LastIndexByte(addrs[i], ':'):]} {
			if !strings.Contains(completions, word+"\t") || strings.Contains(numbers, word) {
				t.Errorf("%s is not offered in\n%s, or in\n%s", word, completions, numbers)
			}
		}
	}
	for _, s := range all {
		if code := s.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

func TestMetrics(t *testing.T) {
	testleak.FDs(t)
	metrics := "127.0.0.1:" + strconv.Itoa(freePort(t))
	s, addr, _ := running(t, "-n", "1", "--metrics", metrics)
	s.line("the worker is ready")
	client := oneShot(nil)
	for range 3 {
		get(t, client, "http://"+addr+"/")
	}
	body, _ := get(t, client, "http://"+metrics+"/metrics")
	for _, line := range []string{"onconn_worker_accepted_total{slot=\"0\"} 3\n", "onconn_workers_wanted 1\n", "\nprocess_open_fds "} {
		if !strings.Contains(body, line) {
			t.Errorf("%q is not in\n%s", line, body)
		}
	}
	if body, _ := get(t, client, "http://"+metrics+"/healthz"); body != "ok\n" {
		t.Errorf("the health is %q", body)
	}
	if code := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
