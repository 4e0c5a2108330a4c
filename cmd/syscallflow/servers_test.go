package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/testleak"
)

// command is syscallflow with these arguments.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = "syscallflow"
	cmd.Env = append(os.Environ(), envMain+"=1", "GORACE=atexit_sleep_ms=0", "LC_ALL=C.UTF-8")
	return cmd
}

// freePort is one that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// tool is where a program is; without it the test is skipped.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// recorded runs a server under syscallflow with some requests, and reads the recording.
// The arguments have PORT for its port.
func recorded(t *testing.T, requests int, flags []string, program ...string) *recording.Recording {
	t.Helper()
	testleak.FDs(t)
	testleak.Zombies(t)
	port := freePort(t)
	for i := range program {
		program[i] = strings.ReplaceAll(program[i], "PORT", port)
	}
	file := filepath.Join(t.TempDir(), "recording.json")
	args := append([]string{"record", "-o", file, "--requests", fmt.Sprint(requests), "--ready", "90s",
		"--url", "http://127.0.0.1:" + port + "/"}, flags...)
	cmd := command(t, append(append(args, "--"), program...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := read(t, file)
	for _, q := range r.Requests {
		if q.Err != "" || !strings.HasPrefix(q.Reply, "200 ") {
			t.Errorf("request: %+v", q)
		}
	}
	if len(r.Requests) != requests {
		t.Errorf("%d requests, want %d", len(r.Requests), requests)
	}
	connections(t, r)
	return r
}

func read(t *testing.T, file string) *recording.Recording {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := recording.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// connections checks that each request's connection was accepted once, and that its
// packets are known to be its own.
func connections(t *testing.T, r *recording.Recording) {
	t.Helper()
	for _, q := range r.Requests {
		i := slices.IndexFunc(r.Sockets, func(s recording.Socket) bool { return s.Peer == q.From.String() && s.From != 0 })
		if i < 0 {
			t.Errorf("no socket for the request from %v", q.From)
			continue
		}
		s := r.Sockets[i]
		if listener := r.Sockets[s.From-1]; !listener.Listens || listener.Backlog == 0 {
			t.Errorf("accepted from %+v", listener)
		}
		if s.Local != q.To.String() || s.Cookie == 0 || s.Inode == 0 {
			t.Errorf("accepted %+v for %+v", s, q)
		}
		if os.Getuid() != 0 {
			continue // no packets
		}
		var flags []string
		for _, p := range r.Packets {
			if p.Socket == s.ID {
				flags = append(flags, p.Flags)
			}
		}
		if len(flags) < 7 || flags[0] != "S" || flags[1] != "SA" || flags[2] != "A" {
			t.Errorf("packets of %v: %q", q.From, flags)
		}
	}
}

// who are the processes that made a call, with how often.
func who(r *recording.Recording, names ...string) map[int]int {
	count := map[int]int{}
	for _, c := range r.Calls {
		if slices.Contains(names, c.Name) && c.Errno == "" {
			count[c.PID]++
		}
	}
	return count
}

// TCP are the calls on internet stream sockets.
func onTCP(r *recording.Recording, name string) (all []recording.Call) {
	for _, c := range r.Calls {
		if c.Name == name && c.Errno == "" && c.FD != nil && c.FD.Socket != 0 && r.Sockets[c.FD.Socket-1].Family == "AF_INET" {
			all = append(all, c)
		}
	}
	return all
}

// TestNodeRoundRobin: the workers never bind, listen or accept; the primary accepts,
// and passes each connection to one of them, the same socket on both sides.
func TestNodeRoundRobin(t *testing.T) {
	r := recorded(t, 4, []string{"--settle", "1s"}, tool(t, "node"), "testdata/programs/cluster.js", "PORT", "rr")
	roundRobin(t, r)
}

func roundRobin(t *testing.T, r *recording.Recording) {
	t.Helper()
	primary := r.Processes[0].PID
	for _, name := range []string{"bind", "listen", "accept4"} {
		for _, c := range onTCP(r, name) {
			if c.PID != primary {
				t.Errorf("worker %d calls %s", c.PID, name)
			}
		}
	}
	if l := onTCP(r, "listen"); len(l) != 1 || r.Sockets[l[0].FD.Socket-1].Backlog != 511 {
		t.Errorf("listen: %+v", l)
	}
	workers := map[int]int{}
	for _, c := range onTCP(r, "accept4") {
		sent := slices.IndexFunc(r.Calls, func(s recording.Call) bool { return s.Name == "sendmsg" && passes(s, c.New.Socket) })
		got := slices.IndexFunc(r.Calls, func(s recording.Call) bool { return s.Name == "recvmsg" && passes(s, c.New.Socket) })
		if sent < 0 || got < 0 || r.Calls[sent].PID != primary || r.Calls[got].PID == primary {
			t.Errorf("socket %d was sent in call %d and received in call %d", c.New.Socket, sent, got)
			continue
		}
		workers[r.Calls[got].PID]++
		closes := who(&recording.Recording{Calls: slices.DeleteFunc(slices.Clone(r.Calls), func(s recording.Call) bool {
			return s.FD == nil || s.FD.Socket != c.New.Socket
		})}, "close")
		if closes[primary] != 1 || closes[r.Calls[got].PID] != 1 {
			t.Errorf("socket %d is closed by %v", c.New.Socket, closes)
		}
	}
	if len(r.Requests) != 4 || len(workers) != 2 {
		t.Errorf("%d requests, connections by worker %v", len(r.Requests), workers)
	}
	for pid, n := range workers {
		if n != 2 {
			t.Errorf("worker %d got %d connections, want 2", pid, n)
		}
	}
}

func passes(c recording.Call, id recording.SocketID) bool {
	return slices.ContainsFunc(c.Passed, func(f recording.FD) bool { return f.Socket == id })
}

// TestNodeShared: under SCHED_NONE the primary binds, the workers listen and accept.
func TestNodeShared(t *testing.T) {
	r := recorded(t, 4, []string{"--settle", "1s"}, tool(t, "node"), "testdata/programs/cluster.js", "PORT", "none")
	sharedSocket(t, r)
}

func sharedSocket(t *testing.T, r *recording.Recording) {
	t.Helper()
	primary := r.Processes[0].PID
	bound := onTCP(r, "bind")
	if len(bound) != 1 || bound[0].PID != primary {
		t.Fatalf("bind: %+v", bound)
	}
	for _, name := range []string{"listen", "accept4"} {
		all := onTCP(r, name)
		if len(all) == 0 {
			t.Errorf("nobody calls %s", name)
		}
		for _, c := range all {
			if c.PID == primary || c.FD.Socket != bound[0].FD.Socket {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
	if n := len(onTCP(r, "listen")); n != 2 {
		t.Errorf("listen is called %d times, want once by each worker", n)
	}
}

func TestPython(t *testing.T) {
	r := recorded(t, 3, nil, tool(t, "python3"), "-m", "http.server", "--bind", "127.0.0.1", "PORT")
	if l := onTCP(r, "listen"); len(l) != 1 || r.Sockets[l[0].FD.Socket-1].Backlog != 5 {
		t.Errorf("listen: %+v", l)
	}
	// The interpreter may be a script that runs another program.
	if w := who(r, "accept4"); len(w) != 1 {
		t.Errorf("accepted by %v", w)
	}
}

// TestNginx: the master binds and listens, the workers inherit and accept.
func TestNginx(t *testing.T) {
	path := tool(t, "nginx")
	conf, err := os.ReadFile("testdata/programs/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	os.Chmod(dir, 0o755)

	port := freePort(t)
	conf = bytes.ReplaceAll(conf, []byte("8765"), []byte(port))
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), conf, 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "recording.json")
	cmd := command(t, "record", "-o", file, "--ready", "90s", "--requests", "3", "--url", "http://127.0.0.1:"+port+"/", "--",
		path, "-e", "stderr", "-p", dir, "-c", "nginx.conf")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := read(t, file)
	connections(t, r)
	nginx(t, r)
}

func nginx(t *testing.T, r *recording.Recording) {
	t.Helper()
	master := r.Processes[0].PID
	for _, name := range []string{"bind", "listen"} {
		for _, c := range onTCP(r, name) {
			if c.PID != master {
				t.Errorf("worker %d calls %s", c.PID, name)
			}
		}
	}
	listener := onTCP(r, "listen")[0].FD.Socket
	accepts := onTCP(r, "accept4")
	if len(accepts) != len(r.Requests) || len(r.Processes) != 3 {
		t.Errorf("%d connections, %d processes", len(accepts), len(r.Processes))
	}
	for _, c := range accepts {
		if c.PID == master || c.FD.Socket != listener {
			t.Errorf("accept4: %+v", c)
		}
	}
}

// TestOnconn: our own command, in its three modes.
func TestOnconn(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "onconn")
	if out, err := exec.Command("go", "build", "-o", bin, "onconn/cmd/onconn").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, mode := range []string{"rr", "shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			r := recorded(t, 4, nil, bin, "-n", "2", "-m", mode, "-l", "127.0.0.1:PORT")
			onconn(t, r, mode)
		})
	}
}

func onconn(t *testing.T, r *recording.Recording, mode string) {
	t.Helper()
	primary := r.Processes[0].PID
	listeners := map[recording.SocketID]bool{}
	for _, c := range onTCP(r, "listen") {
		listeners[c.FD.Socket] = true
		if c.PID != primary {
			t.Errorf("a worker listens: %+v", c)
		}
	}
	if want := map[string]int{"rr": 1, "shared": 1, "reuseport": 2}[mode]; len(listeners) != want {
		t.Errorf("%d listeners, want %d", len(listeners), want)
	}
	for _, c := range onTCP(r, "accept4") {
		if (c.PID == primary) != (mode == "rr") {
			t.Errorf("in mode %s process %d accepts, the primary is %d", mode, c.PID, primary)
		}
		if !listeners[c.FD.Socket] {
			t.Errorf("accepted from socket %d, which doesn't listen", c.FD.Socket)
		}
		passed := slices.ContainsFunc(r.Calls, func(s recording.Call) bool { return passes(s, c.New.Socket) })
		if passed != (mode == "rr") {
			t.Errorf("in mode %s, passed: %v", mode, passed)
		}
	}
}

// TestStoredRecordings: what the drawing is tested on says the same.
func TestStoredRecordings(t *testing.T) {
	for name, holds := range map[string]func(*testing.T, *recording.Recording){
		"node-rr":          roundRobin,
		"node-none":        sharedSocket,
		"nginx":            nginx,
		"onconn-rr":        func(t *testing.T, r *recording.Recording) { onconn(t, r, "rr") },
		"onconn-shared":    func(t *testing.T, r *recording.Recording) { onconn(t, r, "shared") },
		"onconn-reuseport": func(t *testing.T, r *recording.Recording) { onconn(t, r, "reuseport") },
		"python":           func(*testing.T, *recording.Recording) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, "testdata/recordings/"+name+".json")
			connections(t, r)
			holds(t, r)
		})
	}
}
