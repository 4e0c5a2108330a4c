package control

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/cluster"
)

// A test that needs another process starts the test binary again in a role.
const roleVariable = "CONTROL_TEST_ROLE"

var roles = map[string]func(path string) error{
	"serve":   serveRole,
	"connect": connectRole,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](os.Getenv("TEST_PATH")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func process(role, path string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), env...), roleVariable+"="+role, "TEST_PATH="+path, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// serveRole has a control socket until its standard input ends.
func serveRole(path string) error {
	s, err := Listen(path, &executor{}, slog.Default())
	if err != nil {
		return err
	}
	io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// An executor is a target that upgrades, or ends in the attempt.
type executor struct{}

func (executor) upgrades() int {
	n, _ := strconv.Atoi(os.Getenv("TEST_UPGRADES"))
	return n
}

func (e executor) Status() cluster.Status {
	return cluster.Status{PID: os.Getpid(), Mode: cluster.RoundRobin, Upgrades: e.upgrades()}
}
func (executor) Reload(context.Context) error     { return nil }
func (executor) Scale(context.Context, int) error { return nil }
func (e executor) Upgrade(context.Context) error {
	if os.Getenv("TEST_DIE") != "" {
		os.Exit(1)
	}
	os.Setenv("TEST_UPGRADES", strconv.Itoa(e.upgrades()+1))
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// connectRole says what it is answered.
func connectRole(path string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	io.WriteString(c, `{"op":"status"}`+"\n")
	_, err = io.Copy(os.Stdout, c)
	return err
}

// A fake is a target of which each test says what it does.
type fake struct {
	status  func() cluster.Status
	reload  func(context.Context) error
	scale   func(context.Context, int) error
	upgrade func(context.Context) error
}

func (f *fake) Status() cluster.Status {
	if f.status == nil {
		return cluster.Status{PID: os.Getpid(), Mode: cluster.Shared, Target: 2}
	}
	return f.status()
}
func (f *fake) Reload(ctx context.Context) error       { return f.reload(ctx) }
func (f *fake) Scale(ctx context.Context, n int) error { return f.scale(ctx, n) }
func (f *fake) Upgrade(ctx context.Context) error      { return f.upgrade(ctx) }

func open(t testing.TB, target Target) *Server {
	t.Helper()
	s, err := Listen(filepath.Join(t.TempDir(), "s"), target, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t testing.TB, path string) *Client {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs a process that serves, and returns when it does.
func start(t *testing.T, env ...string) (*Client, *exec.Cmd) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	cmd := process("serve", path, env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Signal(syscall.SIGCONT)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			t.Error("it doesn't end")
			cmd.Process.Kill()
			<-exited
		}
	})
	var c *Client
	until(t, func() bool { c, err = Dial(path); return err == nil })
	return c, cmd
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never happens")
		}
	}
}
