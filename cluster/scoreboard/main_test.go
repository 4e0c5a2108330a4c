package scoreboard

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/internal/clients"
	"onconn/internal/testleak"
)

// The test binary is the workers' program, and a primary of its own for tests
// that are hard on the primary.
const (
	envRole    = "SCOREBOARD_ROLE"
	envPrimary = "SCOREBOARD_PRIMARY" // its mode
	envClients = "SCOREBOARD_CLIENTS" // their configuration
	envFile    = "SCOREBOARD_FILE"
	fastExit   = "GORACE=atexit_sleep_ms=0"
)

var modes = []cluster.Mode{cluster.RoundRobin, cluster.Shared, cluster.ReusePort}

// loopback is where workers listen; the primary knows the port.
var loopback = cluster.Address{Network: "tcp", Address: "127.0.0.1:0"}

const patience = 30 * time.Second

func TestMain(m *testing.M) {
	switch {
	case cluster.IsWorker():
		if err := roles[os.Getenv(envRole)](); err != nil {
			fmt.Fprintf(os.Stderr, "worker %d: %v\n", cluster.ID(), err)
			os.Exit(1)
		}
		os.Exit(0)
	case os.Getenv(envPrimary) != "":
		if err := primaryRole(os.Getenv(envPrimary)); err != nil {
			fmt.Fprintln(os.Stderr, "primary:", err)
			os.Exit(1)
		}
		os.Exit(0)
	case os.Getenv(envClients) != "":
		if err := clientsRole(os.Getenv(envClients)); err != nil {
			fmt.Fprintln(os.Stderr, "clients:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// A running cluster of two workers, unless the test wants another number.
type running struct {
	*cluster.Primary
	t      *testing.T
	events chan cluster.Event
	addr   string
}

func start(t *testing.T, role string, cfg cluster.Config) *running {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	r := &running{t: t, events: make(chan cluster.Event, 1<<16)}
	if cfg.Workers == 0 {
		cfg.Workers = 2
	}
	cfg.Listen = []cluster.Address{loopback}
	cfg.Env = append(cfg.Env, envRole+"="+role, fastExit)
	cfg.StableAfter = 1 // what is killed is replaced at once
	cfg.OnEvent = func(e cluster.Event) { r.events <- e }
	cfg.Logger = slog.New(slog.DiscardHandler)
	p, err := cluster.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Primary = p
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Shutdown(context.Background()) })
	r.addr = p.Addrs()[0].String()
	for range cfg.Workers {
		r.await(cluster.Ready)
	}
	return r
}

// await returns the next event of that kind, passing over others.
func (r *running) await(kind cluster.EventKind) cluster.Event {
	r.t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-r.events:
			if e.Kind == kind {
				return e
			}
		case <-late:
			r.t.Fatalf("no event %v came", kind)
		}
	}
}

// clients ask for what every worker answers.
func (r *running) clients(c clients.Config) *clients.Run { return ask(r.addr, c) }

func ask(addr string, c clients.Config) *clients.Run {
	c.Address, c.Want = addr, "ok\n"
	return clients.Start(c)
}

// busy waits until so many more requests were made.
func busy(t *testing.T, run *clients.Run, more int) {
	t.Helper()
	before := run.Counts().All()
	eventually(t, "busy clients", func() bool { return run.Counts().All() >= before+more })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// inModes runs a test in each mode.
func inModes(t *testing.T, test func(t *testing.T, mode cluster.Mode)) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) { test(t, mode) })
	}
}

// stop stops a process, and returns when it has.
func stop(t *testing.T, pid int) {
	t.Helper()
	unix.Kill(pid, unix.SIGSTOP)
	eventually(t, "it stops", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "T")
	})
}

// limit has a process hold so many descriptors more than now. The result undoes that.
func limit(t *testing.T, pid, more int) (undo func()) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	now := unix.Rlimit{Cur: uint64(len(entries) + more), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &now, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
			t.Error(err)
		}
	}
}

// open dials, for the length of the test.
func open(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}
