package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/cluster"
	"onconn/internal/chaos"
	"onconn/internal/testleak"
)

// The test binary is the workers' program too: envRole says which of roles.
const envRole = "CLUSTER_TEST_ROLE"

// fastExit spares workers the second that the race detector sleeps at exit.
const fastExit = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if chaos.HasRole() {
		os.Exit(chaos.Role())
	}
	if cluster.IsWorker() {
		role := os.Getenv(envRole)
		f, ok := roles[role]
		if !ok {
			fmt.Fprintf(os.Stderr, "no role %q\n", role)
			os.Exit(2)
		}
		if err := f(); err != nil {
			fmt.Fprintf(os.Stderr, "worker %d (%s): %v\n", cluster.ID(), role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(envPrimary) != "" {
		lonelyPrimary()
		return
	}
	goleak.VerifyTestMain(m)
}

// roles are what workers do.
var roles = map[string]func() error{
	"name":     nameRole,
	"hold":     holdRole,
	"two":      twoRole,
	"echo":     echoRole,
	"closer":   closerRole,
	"shy":      shyRole,
	"errors":   errorsRole,
	"own":      ownRole,
	"env":      envRoleCheck,
	"garbage":  garbageRole,
	"finisher": finisherRole,
	"fds":      fdsRole,
	"asker":    askerRole,
	"deaf":     deafRole,
	"blocker":  blockerRole,
	"late":     lateRole,
	"dumb":     dumbRole,
	"noisy":    noisyRole,
	"handles":  handlesRole,
	"udp":      udpRole,
	"quitter":  func() error { return fmt.Errorf("nothing to do") },
}

// address is what workers listen on: "network address".
func address() (network, addr string) {
	network, addr, _ = strings.Cut(os.Getenv("CLUSTER_TEST_LISTEN"), " ")
	return network, addr
}

// listening gives the listener of CLUSTER_TEST_LISTEN.
func listening() (net.Listener, error) { return cluster.Listen(address()) }

// nameRole answers each connection with its worker's ID and closes it.
func nameRole() error {
	ln, err := listening()
	if err != nil {
		return err
	}
	if at := os.Getenv("CLUSTER_TEST_UDP"); at != "" {
		c, err := cluster.ListenPacket("udp", at)
		if err != nil {
			return err
		}
		go func() {
			for p := make([]byte, 100); ; {
				_, from, err := c.ReadFrom(p)
				if err != nil {
					return
				}
				c.WriteTo([]byte(strconv.Itoa(cluster.ID())), from)
			}
		}()
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return nil
		}
		fmt.Fprintf(c, "%d\n", cluster.ID())
		c.Close()
	}
}

// holdRole answers with its ID at once, and holds the connection until its
// client closes it.
func holdRole() error {
	ln, err := listening()
	if err != nil {
		return err
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer c.Close()
			fmt.Fprintf(c, "%d\n", cluster.ID())
			bufio.NewReader(c).ReadString('\n')
		}()
	}
}

// A running cluster under test.
type running struct {
	*cluster.Primary
	t      *testing.T
	events chan cluster.Event
}

// start runs a cluster until the end of the test, when nothing of it may be left.
func start(t *testing.T, role string, cfg cluster.Config) *running {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	r := &running{t: t, events: make(chan cluster.Event, 1<<16)}
	cfg.Env = append(cfg.Env, envRole+"="+role, fastExit)
	cfg.OnEvent = func(e cluster.Event) { r.events <- e }
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	p, err := cluster.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Primary = p
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { p.Shutdown(context.Background()) }) })
	return r
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Logf("%s", p)
	return len(p), nil
}

// await returns the next event of that kind, passing over others.
func (r *running) await(kind cluster.EventKind) cluster.Event {
	r.t.Helper()
	late := time.After(20 * time.Second)
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

// listening waits until n workers listen, and returns the address.
func (r *running) listening(n int) net.Addr {
	r.t.Helper()
	var addr net.Addr
	for range n {
		addr = r.await(cluster.Listening).Addr
	}
	return addr
}

// on is the Env entry that makes workers listen there.
func on(network, addr string) []string {
	return []string{"CLUSTER_TEST_LISTEN=" + network + " " + addr}
}

// ask connects and reads the ID of the worker that answers.
func ask(t testing.TB, a net.Addr) int {
	t.Helper()
	c := dial(t, a)
	defer c.Close()
	return readID(t, c)
}

// askOnce is ask for a goroutine of its own.
func askOnce(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer, err := io.ReadAll(c)
	if err == nil && len(answer) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func dial(t testing.TB, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(a.Network(), a.String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readID(t testing.TB, c net.Conn) int {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == io.EOF && c.LocalAddr().Network() == "unixpacket" {
		// net believes the kernel, which may say so before the last message.
		line, err = bufio.NewReader(c).ReadString('\n')
	}
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	id, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// jain is the fairness index of Jain: 1 for equal shares, 1/n if one has all.
func jain(counts map[int]int, n int) float64 {
	var sum, squares float64
	for _, c := range counts {
		sum += float64(c)
		squares += float64(c) * float64(c)
	}
	return sum * sum / (float64(n) * squares)
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "s") }

// text is a message as a string.
func text(t *testing.T, data json.RawMessage) (s string) {
	t.Helper()
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}
