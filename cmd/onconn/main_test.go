package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is onconn itself when envMain is set.
const envMain = "ONCONN_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(envMain) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// tooLong is when an onconn that hangs is killed.
const tooLong = 30 * time.Second

// command is onconn with these arguments.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), envMain+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// result runs onconn to its end.
func result(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(args...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(tooLong, func() { cmd.Process.Kill() }).Stop()
	cmd.Wait()
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// A served onconn runs until the test ends it.
type served struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *bufio.Scanner
	stderr buffer
	lines  []string
}

// A buffer may be read while the process still writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func serve(t *testing.T, args ...string) *served {
	t.Helper()
	return serveCommand(t, command(args...))
}

func serveCommand(t *testing.T, cmd *exec.Cmd) *served {
	t.Helper()
	s := &served{t: t, cmd: cmd}
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	hung := time.AfterFunc(tooLong, func() { s.cmd.Process.Kill() })
	t.Cleanup(func() {
		hung.Stop()
		if s.cmd.ProcessState == nil {
			s.cmd.Process.Kill()
			s.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%q printed\n%s\n%s", cmd.Args, strings.Join(s.lines, "\n"), s.stderr.String())
		}
	})
	return s
}

// line reads until a line matches, and returns its submatches.
func (s *served) line(pattern string) []string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for s.out.Scan() {
		s.lines = append(s.lines, s.out.Text())
		if m := re.FindStringSubmatch(s.out.Text()); m != nil {
			return m
		}
	}
	s.t.Fatalf("no line is like %s\n%s\n%s", pattern, strings.Join(s.lines, "\n"), s.stderr.String())
	return nil
}

// stop sends a signal and returns the exit code.
func (s *served) stop(sig syscall.Signal) int {
	s.t.Helper()
	s.cmd.Process.Signal(sig)
	for s.out.Scan() {
		s.lines = append(s.lines, s.out.Text())
	}
	s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

func get(t *testing.T, client *http.Client, url string) (body, worker string) {
	t.Helper()
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), r.Header.Get("Onconn-Worker")
}

// oneShot makes a new connection for each request.
func oneShot(dial func() (net.Conn, error)) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dial != nil {
				return dial()
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}}}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"run"}, {"-m", "shared"}, {"-m", "reuseport"}, {"--policy", "least-loaded", "--max-conns", "5"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			s := serve(t, append(args, "-n", "2", "-l", "127.0.0.1:0")...)
			addr := s.line(`listening on (\S+)`)[1]
			client := oneShot(nil)
			for range 20 {
				body, worker := get(t, client, "http://"+addr+"/")
				if body != "hello world\n" || worker != "1" && worker != "2" {
					t.Fatalf("the answer is %q from worker %s", body, worker)
				}
			}
			s.line(`^numReqs = 20  #1 \d+  #2 \d+$`)
			if code := s.stop(syscall.SIGINT); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if last := s.lines[len(s.lines)-1]; last != "onconn: 20 requests on 20 connections" {
				t.Errorf("the last line is %q", last)
			}
			if s.stderr.String() != "" {
				t.Errorf("standard error: %s", s.stderr.String())
			}
		})
	}
}

func TestManyAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := serve(t, "-n", "2", "-l", "127.0.0.1:0", "-l", "tcp4://127.0.0.1:0", "-l", "tcp6://[::1]:0", "-l", path, "-l", "@onconn-cmd-test", "--json")
	addrs := map[string]string{}
	for range 10 { // 5 for each worker
		m := s.line(`"event":"listening".*"network":"(\w+)","address":"([^"]+)"`)
		addrs[m[2]] = m[1]
	}
	if len(addrs) != 5 {
		t.Fatalf("it listens on %v", addrs)
	}
	for a, network := range addrs {
		client := oneShot(func() (net.Conn, error) { return net.Dial(network, a) })
		if body, _ := get(t, client, "http://localhost/"); body != "hello world\n" {
			t.Errorf("%s: %q", a, body)
		}
	}
	s.line(`"numReqs":5`)
	if code := s.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket file is left: %v", err)
	}
}

// An abstract name may be as long as a path, without the @.
func TestLongestName(t *testing.T) {
	name := fmt.Sprintf("@%0107d", os.Getpid())
	s := serve(t, "-n", "1", "-l", name)
	s.line("listening on " + name)
	client := oneShot(func() (net.Conn, error) { return net.Dial("unix", name) })
	if body, _ := get(t, client, "http://localhost/"); body != "hello world\n" {
		t.Errorf("the answer is %q", body)
	}
	if code := s.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestMistakes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := taken.Addr().String()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"-n -1", 64, "--workers"},
		{"-n x", 64, "invalid argument"},
		{"--nonsense", 64, "unknown flag"},
		{"nonsense", 64, `unknown command "nonsense"`},
		{"run nonsense", 64, `unknown command "nonsense"`},
		{"-l :65536", 64, "port 65536 is out of range"},
		{"-l :-1", 64, "out of range"},
		{"-l :no-such-service", 64, "unknown port"},
		{"-l 8000", 64, "missing port"},
		{"-l", 64, "needs an argument"},
		{"-l tcp4://[::1]:80", 64, "no IPv4"},
		{"-l tcp6://127.0.0.1:80", 64, "no IPv6"},
		{"-l udp://127.0.0.1:80", 64, "unknown network"},
		{"-l fd:", 64, "fd:3"},
		{"-l fd:-3", 64, "fd:3"},
		{"-l @", 64, "unix"},
		{"-l /" + strings.Repeat("x", 107), 64, "at most 107 bytes"},
		{"-l @" + strings.Repeat("x", 108), 64, "at most 107 bytes"},
		{"-m nonsense", 64, "unknown mode"},
		{"--policy nonsense", 64, "unknown policy"},
		{"--policy weighted=0", 64, "weight"},
		{"-m shared --policy round-robin", 64, "needs --mode rr or reuseport"},
		{"-m reuseport --policy nonsense", 64, "unknown policy"},
		{"-m reuseport --policy weighted=1,65537", 64, "65536 at most"},
		{"--backlog 0", 64, "--backlog"},
		{"--backlog -2", 64, "--backlog"},
		{"--backlog 2147483648", 64, "--backlog"},
		{"--max-conns -1", 64, "--max-conns"},
		{"--drain-timeout -1s", 64, "--drain-timeout"},
		{"--", 64, "no command after --"},
		{"-- no-such-program", 64, "no-such-program"},
		{"-l " + used, 1, fmt.Sprintf("address already in use (held by onconn.test[%d]", os.Getpid())},
		{"-m reuseport -l " + used, 1, "address already in use"},
		{"-l 192.0.2.1:80", 1, "cannot assign requested address"},
		{"-l fd:77", 1, "77"},
		{"-m reuseport -l " + used + " -l /tmp/x.sock", 64, "tcp"},
		{"-m reuseport -l " + used + " -l @x", 64, "tcp"},
		{"-m reuseport -l " + used + " -l fd:3", 64, "tcp"},
		{"-- false", 1, "no worker stays"},
	} {
		code, stdout, stderr := result(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("onconn %s: exit %d, not %d with %q:\n%s", c.args, code, c.code, c.says, stderr)
		}
		if strings.Contains(stdout, "listening") {
			t.Errorf("onconn %s listened before it failed: %s", c.args, stdout)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"help", "run"}} {
		code, stdout, _ := result(t, args...)
		for _, s := range []string{"--drain-timeout", "reuseport", "python3 server.py"} {
			if code != 0 || !strings.Contains(stdout, s) {
				t.Errorf("onconn %s: exit %d, %q is missing:\n%s", args, code, s, stdout)
			}
		}
	}
	if code, stdout, _ := result(t, "completion", "bash"); code != 0 || !strings.Contains(stdout, "onconn") {
		t.Errorf("no completion for bash: exit %d", code)
	}
}

// A program that never asks for a listener is told so in rr mode.
func TestUnawareProgram(t *testing.T) {
	t.Parallel()
	s := serve(t, "-n", "1", "-l", "127.0.0.1:0", "--", "sleep", "30")
	defer s.stop(syscall.SIGINT)
	for end := time.Now().Add(15 * time.Second); !strings.Contains(s.stderr.String(), "--mode shared"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it says nothing")
		}
	}
}
