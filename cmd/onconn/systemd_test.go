package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster/control"
	"onconn/internal/cli"
	"onconn/internal/testleak"
	"onconn/reuseport/steer"
)

// A manager stands for systemd: it hears what services say, and keeps their
// descriptors.
type manager struct {
	t      *testing.T
	socket *net.UnixConn
	stored map[string]int
}

func manage(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	m := &manager{t, socket, map[string]int{}}
	t.Cleanup(func() {
		socket.Close()
		for _, fd := range m.stored {
			unix.Close(fd)
		}
	})
	return m
}

// until reads messages until one has this line, and returns its lines.
func (m *manager) until(line string) []string {
	m.t.Helper()
	m.socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	p, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	for {
		n, nc, _, _, err := m.socket.ReadMsgUnix(p, control)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", line, err)
		}
		lines := strings.Split(string(p[:n]), "\n")
		m.keep(lines, control[:nc])
		if slices.Contains(lines, line) {
			return lines
		}
	}
}

func (m *manager) keep(lines []string, control []byte) {
	m.t.Helper()
	if len(lines) != 2 {
		return
	}
	name := strings.TrimPrefix(lines[1], "FDNAME=")
	switch lines[0] {
	case "FDSTORE=1":
		messages, err := unix.ParseSocketControlMessage(control)
		if err != nil || len(messages) != 1 {
			m.t.Fatalf("%v comes with %v, %v", lines, messages, err)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			m.t.Fatalf("%v comes with %v, %v", lines, fds, err)
		}
		unix.CloseOnExec(fds[0])
		if _, twice := m.stored[name]; twice {
			unix.Close(fds[0])
			return
		}
		m.stored[name] = fds[0]
	case "FDSTOREREMOVE=1":
		fd, ok := m.stored[name]
		if !ok {
			m.t.Fatalf("%s is removed, which is not stored", name)
		}
		unix.Close(fd)
		delete(m.stored, name)
	}
}

func TestSystemd(t *testing.T) {
	testleak.FDs(t)
	m := manage(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	s, _, path := running(t, "-n", "2")
	lines := m.until("READY=1")
	if !slices.Contains(lines, "STATUS=2 workers") {
		t.Errorf("it says %q", lines)
	}
	for range 3 {
		m.until("WATCHDOG=1")
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	if lines := m.until("RELOADING=1"); len(lines) != 2 || !strings.HasPrefix(lines[1], "MONOTONIC_USEC=") {
		t.Errorf("it says %q", lines)
	}
	m.until("READY=1")
	ok(t, "upgrade", "--control", path)
	m.until("RELOADING=1")
	m.until("READY=1")
	m.until("WATCHDOG=1")
	s.cmd.Process.Signal(syscall.SIGTERM)
	m.until("STOPPING=1")
	if code := s.stop(syscall.SIGCONT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A reload that is asked for at the very end, while systemd doesn't read, is
// refused.
func TestReloadAtTheEnd(t *testing.T) {
	testleak.FDs(t)
	m := manage(t)
	s, _, path := running(t, "-n", "1")
	m.until("READY=1")
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err == nil { // until it is full
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = c.Write([]byte("X=1"))
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.line("draining")
	until(t, func() bool {
		c, err := control.Dial(path)
		if err == nil {
			err = c.Reload(t.Context())
			if err == nil {
				t.Error("it has reloaded")
			}
		}
		return !exists(path)
	})
	m.until("STOPPING=1")
	if code := s.stop(syscall.SIGCONT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Nothing waits for a systemd that doesn't read.
func TestSystemdIsSlow(t *testing.T) {
	s, err := newSupervised(nil, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for range cap(s.lines) + 1 {
		s.say("x")
	}
	if len(s.lines) != cap(s.lines) {
		t.Errorf("%d lines wait", len(s.lines))
	}
}

// Clients that come after a primary was killed, or ended in order, are served by
// the next one, from the sockets in the store.
func TestStore(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	for _, c := range []struct {
		mode string
		sig  syscall.Signal
	}{{"rr", syscall.SIGKILL}, {"shared", syscall.SIGKILL}, {"reuseport", syscall.SIGKILL},
		{"rr", syscall.SIGTERM}, {"shared", syscall.SIGTERM}, {"reuseport", syscall.SIGTERM}} {
		mode := c.mode
		t.Run(fmt.Sprint(mode, " ", c.sig), func(t *testing.T) {
			m := manage(t)
			addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			args := []string{"-n", "2", "-m", mode, "-l", addr, "--control=off"}
			s := serve(t, args...)
			m.until("READY=1")
			want := map[string]int{"rr": 1, "shared": 1, "reuseport": 2}[mode]
			for len(m.stored) < want {
				m.until("FDSTORE=1")
			}
			s.stop(c.sig)

			asked := make(chan string, 1)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatalf("nobody listens: %v", err)
			}
			client := oneShot(func() (net.Conn, error) { return conn, nil })
			go func() {
				defer close(asked)
				body, _ := get(t, client, "http://"+addr+"/")
				asked <- body
			}()
			next := m.start(args)
			if body := <-asked; body != "hello world\n" {
				t.Errorf("the answer is %q", body)
			}
			m.until("READY=1")
			answers(t, addr, 10)
			if code := next.stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// The kernel is steered again after a primary was killed, whose program is still
// there.
func TestStoreSteering(t *testing.T) {
	if err := steer.Supported(); err != nil {
		t.Skip(err)
	}
	testleak.FDs(t)
	testleak.Zombies(t)
	for workers := 1; workers <= 2; workers++ {
		m := manage(t)
		addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		args := []string{"-n", fmt.Sprint(workers), "-m", "reuseport", "--policy", "round-robin", "-l", addr, "--control=off"}
		s := serve(t, args...)
		m.until("READY=1")
		for len(m.stored) < workers {
			m.until("FDSTORE=1")
		}
		s.stop(syscall.SIGKILL)
		next := m.start(args)
		next.line("steering: ebpf round-robin$")
		m.until("READY=1")
		answers(t, addr, 10)
		if code := next.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if said := next.stderr.String(); said != "" {
			t.Errorf("standard error: %s", said)
		}
	}
}

// Sockets that nobody wants any more leave the store.
func TestStoreIsCleared(t *testing.T) {
	testleak.FDs(t)
	m := manage(t)
	ports := []int{freePort(t), freePort(t)}
	listen := func(port int) []string {
		return []string{"-n", "1", "--control=off", "-l", fmt.Sprintf("127.0.0.1:%d", port)}
	}
	s := serve(t, listen(ports[0])...)
	for len(m.stored) == 0 {
		m.until("FDSTORE=1")
	}
	s.stop(syscall.SIGKILL)
	s = m.start(listen(ports[1]))
	m.until("FDSTOREREMOVE=1")
	for len(m.stored) == 0 {
		m.until("FDSTORE=1")
	}
	until(t, func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0]))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if code := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A unix socket outlives a restart in the store, but its file doesn't.
func TestStoreOfPath(t *testing.T) {
	testleak.FDs(t)
	m := manage(t)
	path := filepath.Join(t.TempDir(), "s")
	args := []string{"-n", "1", "--control=off", "-l", path}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
		s := m.start(args)
		m.until("READY=1")
		for len(m.stored) == 0 {
			m.until("FDSTORE=1")
		}
		client := oneShot(func() (net.Conn, error) { return net.Dial("unix", path) })
		if body, _ := get(t, client, "http://localhost/"); body != "hello world\n" {
			t.Errorf("the answer is %q", body)
		}
		s.stop(sig)
	}
	if exists(path) {
		t.Error("the file is left")
	}
}

// start runs onconn with what is stored.
func (m *manager) start(args []string) *served {
	m.t.Helper()
	var names []string
	cmd := command(args...)
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)
	cmd.Path = "/bin/sh"
	for name, fd := range m.stored {
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			m.t.Fatal(err)
		}
		file := os.NewFile(uintptr(fd), name)
		defer file.Close()
		names, cmd.ExtraFiles = append(names, name), append(cmd.ExtraFiles, file)
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	return serveCommand(m.t, cmd)
}

// The unit is one that systemd understands.
func TestUnit(t *testing.T) {
	need(t, "systemd-analyze")
	b, err := os.ReadFile("deploy/onconn.service")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "onconn.service")
	write(t, file, strings.ReplaceAll(string(b), "/usr/local/bin/onconn", "/bin/true"))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	_, line, _ := strings.Cut(string(b), "ExecStart=/usr/local/bin/onconn ")
	line, _, _ = strings.Cut(line, "\n")
	flags, _, _ := strings.Cut(line, " -- ")
	if code, _, stderr := result(t, append(strings.Fields(flags), "--", "no-such-program")...); code != cli.WrongUsage || !strings.Contains(stderr, "no-such-program") {
		t.Errorf("its flags: exit %d\n%s", code, stderr)
	}
}
