package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"onconn/cluster/control"
	"onconn/internal/testleak"
	"onconn/reuseport/steer"
)

// holdAll opens n connections, one after the other, that stay open, and tells how
// many each worker has.
func holdAll(t *testing.T, addr string, n int) (conns []net.Conn, shares map[string]int) {
	t.Helper()
	shares = map[string]int{}
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		shares[r.Header.Get("Onconn-Worker")]++
	}
	return conns, shares
}

// spreadsEvenly opens ten connections for each of 4 workers. On a busy machine a
// worker may seem to hang for a moment, and others get its share.
func spreadsEvenly(t *testing.T, addr, path string) {
	t.Helper()
	control, err := control.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		s, err := control.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range s.Workers {
			if w.Active > 0 || w.State != "online" {
				return false
			}
		}
		if len(s.Workers) != 4 || len(s.Listeners[0].Away) > 0 {
			return false
		}
		conns, shares := holdAll(t, addr, 40)
		for _, c := range conns {
			c.Close()
		}
		for _, n := range shares {
			if n < 9 || n > 11 {
				t.Logf("the shares are %v", shares)
				return false
			}
		}
		return len(shares) == 4 && s.Listeners[0].Steering == "ebpf least-loaded"
	})
}

// The kernel chooses the worker with the fewest connections, also after an upgrade
// and a reload.
func TestSteering(t *testing.T) {
	if err := steer.Supported(); err != nil {
		t.Skip(err)
	}
	testleak.FDs(t)
	s, addr, path := running(t, "-n", "4", "-m", "reuseport", "--policy", "least-loaded")
	s.line("all 4 workers are ready")
	if said := strings.Join(s.lines, "\n"); !strings.Contains(said, "onconn: steering: ebpf least-loaded\n") {
		t.Errorf("it says\n%s", said)
	}
	spreadsEvenly(t, addr, path)
	ok(t, "upgrade", "--control", path)
	s.line("upgraded, ")
	s.line("steering: ebpf least-loaded$")
	spreadsEvenly(t, addr, path)
	ok(t, "reload", "--control", path)
	spreadsEvenly(t, addr, path)
	if stdout, _ := ok(t, "status", "--control", path); !strings.Contains(stdout, addr+": steering ebpf least-loaded\n") {
		t.Errorf("the status is\n%s", stdout)
	}
	if code := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	code, stdout, stderr := result(t, "-n", "257", "-m", "reuseport", "--policy", "weighted=3,1", "-l", addr)
	if code != 64 || stdout != "" || !strings.Contains(stderr, "256 workers at most") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// unprivileged is onconn by a user who can't make eBPF programs, and a path for its
// control socket.
func unprivileged(t *testing.T) (cmd func(args ...string) *exec.Cmd, path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "control")
	if os.Geteuid() != 0 {
		if steer.Supported() == nil {
			t.Skip("this user can make eBPF programs")
		}
		return command, path
	}
	const nobody = 65534
	program := filepath.Join(dir, "onconn") // where nobody finds it
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, binary, 0o755)
	}
	if err == nil {
		err = os.Chmod(filepath.Dir(dir), 0o755)
	}
	if err == nil {
		err = os.Chown(dir, nobody, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(args ...string) *exec.Cmd {
		cmd := command(args...)
		cmd.Path = program
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}, path
}

// Without the privilege the kernel chooses by a hash, and that is said.
func TestSteeringUnprivileged(t *testing.T) {
	testleak.FDs(t)
	cmd, path := unprivileged(t)
	for _, c := range []struct{ policy, taken, wanted string }{
		{"weighted=3,1", "weighted", "ebpf weighted"},
		{"least-loaded", "hash", "ebpf least-loaded"},
	} {
		s := serveCommand(t, cmd("-n", "2", "-m", "reuseport", "--policy", c.policy, "-l", "127.0.0.1:0", "--control", path))
		s.line("^onconn: steering: " + c.taken + ", not " + c.wanted + `, since .*CAP_BPF[^;]*$`)
		addr := s.line(`listening on (\S+)`)[1]
		s.line("all 2 workers are ready")
		if l := status(t, path).Listeners[0]; l.Steering != c.taken {
			t.Errorf("%s: the steering is %s", c.policy, l.Steering)
		}
		client := oneShot(nil)
		shares := map[string]int{}
		for range 400 {
			_, worker := get(t, client, "http://"+addr+"/")
			shares[worker]++
		}
		if n := shares["1"]; n+shares["2"] != 400 || c.taken == "weighted" && (n < 250 || n > 350) {
			t.Errorf("%s: the shares are %v", c.policy, shares)
		}
		if code := s.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	s := serveCommand(t, cmd("-n", "1", "-m", "reuseport", "--policy", "source-hash", "-l", "127.0.0.1:0", "--control", path, "--json"))
	s.line(`"event":"steering","steering":"hash","wanted":"ebpf source-hash","why":"[^"]*CAP_BPF`)
	s.stop(syscall.SIGTERM)
	s = serveCommand(t, cmd("-n", "1", "-m", "reuseport", "--policy", "source-hash", "-l", "127.0.0.1:0", "--control", path, "--quiet"))
	until(t, func() bool {
		return strings.Contains(s.stderr.String(), "onconn: steering: hash, not ebpf source-hash")
	})
	s.stop(syscall.SIGTERM)
	if out := strings.Join(s.lines, "\n"); out != "" {
		t.Errorf("though quiet, it says\n%s", out)
	}
}

// Every policy has a program of its name.
func TestSteerPolicies(t *testing.T) {
	for name, p := range steerPolicies {
		if p.String() != name {
			t.Errorf("%s is %v", name, p)
		}
	}
	if w := weightsOf("weighted=3,1"); len(w) != 2 || w[0] != 3 || w[1] != 1 || len(weightsOf("round-robin")) != 0 {
		t.Errorf("the weights are %v", w)
	}
	if steer.MaxMembers != 256 {
		t.Errorf("the help says 256, and it is %d", steer.MaxMembers)
	}
}
