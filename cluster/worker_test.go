package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/cluster"
	"onconn/internal/testleak"
	"onconn/listen"
)

// echoRole sends back what the primary sends, with its ID before it. It asks for
// messages only when the first ones are there.
func echoRole() error {
	if err := cluster.Send("ready"); err != nil {
		return err
	}
	ln, err := listening() // its reply comes behind the early messages
	if err != nil {
		return err
	}
	defer ln.Close()
	err = cluster.OnMessage(func(data json.RawMessage) {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			s = err.Error()
		}
		cluster.Send(fmt.Sprintf("%d %s", cluster.ID(), s))
	})
	<-cluster.Draining()
	return err
}

func TestMessages(t *testing.T) {
	r := start(t, "echo", cluster.Config{Workers: 2, Env: on("tcp", "127.0.0.1:0")})
	for _, w := range r.Workers() {
		for _, s := range []string{"one", "two"} {
			if err := w.Send(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Send(strings.Repeat("x", cluster.MaxMessage)); !errors.Is(err, cluster.ErrMessageTooLarge) {
			t.Errorf("a message of 64 KiB and more: %v", err)
		}
		if err := w.Send(func() {}); err == nil {
			t.Error("a function was sent")
		}
	}
	got := map[int][]string{}
	for len(got[1])+len(got[2]) < 6 {
		e := r.await(cluster.Messaged)
		got[e.Worker.ID] = append(got[e.Worker.ID], text(t, e.Data))
	}
	for id, s := range got {
		want := []string{"ready", fmt.Sprintf("%d one", id), fmt.Sprintf("%d two", id)}
		if !slices.Equal(s, want) {
			t.Errorf("worker %d said %q, not %q", id, s, want)
		}
	}
}

func TestEventsOfALife(t *testing.T) {
	r := start(t, "name", cluster.Config{Workers: 1, Env: on("tcp", "127.0.0.1:0")})
	r.listening(1)
	w := r.Workers()[0]
	if w.ExitedAfterDisconnect() || w.State() != cluster.StateOnline {
		t.Errorf("state %v, ExitedAfterDisconnect %v", w.State(), w.ExitedAfterDisconnect())
	}
	w.Disconnect()
	e := r.await(cluster.Exited)
	if !w.ExitedAfterDisconnect() || w.State() != cluster.StateDead || e.Status.ExitStatus() != 0 {
		t.Errorf("state %v, ExitedAfterDisconnect %v, %s", w.State(), w.ExitedAfterDisconnect(), cluster.Describe(e.Status))
	}
	if n := len(r.Workers()); n != 0 {
		t.Errorf("%d workers are left", n)
	}
	w, err := r.Fork("EXTRA=1")
	if err != nil {
		t.Fatal(err)
	}
	if w.ID != 2 || w.Slot != 0 {
		t.Errorf("the next worker has ID %d and slot %d", w.ID, w.Slot)
	}
	var kinds []cluster.EventKind
	for len(kinds) < 3 {
		e := <-r.events
		kinds = append(kinds, e.Kind)
	}
	if want := []cluster.EventKind{cluster.Forked, cluster.Online, cluster.Listening}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, not %v", kinds, want)
	}
}

// ownRole has an exclusive listener and one of the cluster's.
func ownRole() error {
	ln, err := cluster.ListenConfig{Exclusive: true}.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	if err := cluster.Send(ln.Addr().String()); err != nil {
		return err
	}
	return nameRole()
}

func TestExclusive(t *testing.T) {
	r := start(t, "own", cluster.Config{Workers: 2, Env: on("tcp", "127.0.0.1:0")})
	own := map[string]bool{}
	for range 2 {
		own[text(t, r.await(cluster.Messaged).Data)] = true
	}
	if len(own) != 2 {
		t.Errorf("the exclusive listeners of 2 workers are at %v", own)
	}
}

// errorsRole reports to the primary how its listens fail.
func errorsRole() error {
	_, used, _ := strings.Cut(os.Getenv("CLUSTER_TEST_LISTEN"), " ")
	for _, at := range [][2]string{{"tcp", used}, {"tcp", "127.0.0.1:65536"}, {"tcp", "192.0.2.1:0"}, {"nonsense", ":0"}, {"unix", "/nonexistent/s"}} {
		_, err := cluster.Listen(at[0], at[1])
		_, std := (&net.ListenConfig{}).Listen(context.Background(), at[0], at[1])
		if err == nil || std == nil {
			return fmt.Errorf("%v: %v, std %v", at, err, std)
		}
		if err := cluster.Send([]string{at[0] + " " + at[1], walk(err), walk(std), err.Error()}); err != nil {
			return err
		}
	}
	ln, err := cluster.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, err = cluster.Listen("tcp", ln.Addr().String())
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("a second listen on the own port: %v", err)
	}
	return cluster.Send("end")
}

// walk names the types of an error and what it wraps, and its errno.
func walk(err error) string {
	var s []string
	for ; err != nil; err = errors.Unwrap(err) {
		if _, ok := err.(*listen.InUseError); ok {
			continue // net's has no holder
		}
		if errno, ok := err.(syscall.Errno); ok {
			s = append(s, errno.Error())
			continue
		}
		s = append(s, fmt.Sprintf("%T", err))
	}
	return strings.Join(s, " > ")
}

// What goes wrong in the primary reaches the worker as if it had listened itself.
func TestErrorsOfListen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "errors", cluster.Config{Workers: 1, Mode: mode, Env: on("tcp", ln.Addr().String())})
			for {
				data := r.await(cluster.Messaged).Data
				if string(data) == `"end"` {
					break
				}
				var got [4]string
				if err := json.Unmarshal(data, &got); err != nil {
					t.Fatal(err)
				}
				where, ours, std, msg := got[0], got[1], got[2], got[3]
				if strings.HasPrefix(where, "unix") && mode == cluster.ReusePort {
					continue // refused for another reason
				}
				if ours != std {
					t.Errorf("%s: %s, net's is %s", where, ours, std)
				}
				t.Logf("%s: %s", where, msg)
				if where == "tcp "+ln.Addr().String() && !strings.Contains(msg, fmt.Sprintf("[%d]", os.Getpid())) {
					t.Errorf("%q doesn't name the holder, process %d", msg, os.Getpid())
				}
			}
		})
	}
}

// envRoleCheck has a child and tells what it sees of the worker's environment.
func envRoleCheck() error {
	out, err := exec.Command("sh", "-c", "env; ls -l /proc/self/fd").CombinedOutput()
	if err != nil {
		return err
	}
	return cluster.Send(string(out))
}

func TestWorkersChildrenAreNoWorkers(t *testing.T) {
	r := start(t, "env", cluster.Config{Workers: 1, Mode: cluster.Shared,
		Listen: []cluster.Address{{Network: "tcp", Address: "127.0.0.1:0"}}})
	out := text(t, r.await(cluster.Messaged).Data)
	for _, bad := range []string{"ONCONN_", "LISTEN_FDS", "LISTEN_PID", "socket:"} {
		if strings.Contains(out, bad) {
			t.Errorf("the child of a worker sees %s:\n%s", bad, out)
		}
	}
}

// garbageRole is online and then breaks the protocol.
func garbageRole() error {
	if !cluster.IsWorker() {
		return errors.New("no worker")
	}
	var fd int
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		n := 0
		fmt.Sscan(e.Name(), &n)
		if t, _ := syscall.Getsockname(n); t != nil {
			fd = n
		}
	}
	if err := syscall.Sendto(fd, []byte(os.Getenv("CLUSTER_TEST_GARBAGE")), 0, nil); err != nil {
		return err
	}
	time.Sleep(time.Minute)
	return nil
}

// A worker that breaks the protocol is killed and replaced, and nobody else
// notices.
func TestGarbage(t *testing.T) {
	for _, garbage := range []string{"not json", "{}", `{"op":"nonsense"}`, `{"op":"listen"}`, `{"op":"online","version":99}`, `{"op":"close"}`} {
		t.Run(garbage, func(t *testing.T) {
			r := start(t, "garbage", cluster.Config{Workers: 1, Env: []string{"CLUSTER_TEST_GARBAGE=" + garbage}})
			e := r.await(cluster.Disconnected)
			if e.Err == nil {
				t.Error("no reason is given")
			}
			e = r.await(cluster.Exited)
			if e.Status.Signal() != syscall.SIGKILL {
				t.Errorf("it ended with %s", cluster.Describe(e.Status))
			}
			t.Log(r.await(cluster.Forked).Worker.ID)
		})
	}
}

func TestProgramThatEndsAtOnce(t *testing.T) {
	for _, c := range []cluster.Config{{Workers: 2, Env: []string{envRole + "=quitter"}}, {Workers: 2, Exec: "true"}, {Workers: 2, Exec: "false"}} {
		testleak.FDs(t)
		p, err := cluster.New(c)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no worker stays") {
			t.Errorf("%q: %v", c.Exec, err)
		}
		t.Log(err)
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []cluster.Config{{Mode: 9}, {MaxConns: -1}, {DrainTimeout: -1}, {Exec: "no-such-program-here"}} {
		if _, err := cluster.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		} else {
			t.Log(err)
		}
	}
}

func TestStartFails(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	for _, c := range []cluster.Config{
		{Listen: []cluster.Address{{Network: "tcp", Address: "127.0.0.1:0"}, {Network: "tcp", Address: "192.0.2.1:1"}}},
		{Exec: "/dev/null"},
		{Exec: os.Args[0], Dir: "/nonexistent"},
		{Mode: cluster.ReusePort, Listen: []cluster.Address{{Network: "unix", Address: socketPath(t)}}},
	} {
		p, err := cluster.New(c)
		if err != nil {
			t.Log(err) // even better
			continue
		}
		err = p.Start(t.Context())
		if err == nil {
			t.Errorf("%+v starts", c)
			p.Shutdown(t.Context())
		}
		t.Log(err)
	}
}
