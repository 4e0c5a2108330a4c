package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/netns"
	"onconn/internal/testleak"
)

// Servers that accept nothing until they may, and then everything.
const (
	pythonServer = `
import socketserver, time, sys
class H(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(b'ok\n')
s = socketserver.TCPServer(('127.0.0.1', 8080), H)
print('ready', flush=True)
sys.stdin.readline()
s.serve_forever()`
	nodeServer = `
const s = require('net').createServer(c => { c.on('error', () => {}); c.end('ok\n') })
s.listen(8080, '127.0.0.1', 20, () => {
  console.log('ready')
  require('fs').readSync(0, Buffer.alloc(1)) // the event loop is busy
})`
)

// set lets every stuck client in, without a restart.
func TestSetRescues(t *testing.T) {
	for _, tt := range []struct {
		name    string
		command []string
		limit   int
		says    string
	}{
		{"python3", []string{"python3", "-c", pythonServer}, 5, "request_queue_size = 1024"},
		{"node", []string{"node", "-e", nodeServer}, 20, "server.listen({port, backlog: 1024})"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := exec.LookPath(tt.name); err != nil {
				t.Skip("not installed: ", err)
			}
			testleak.FDs(t)
			n := netns.New(t)
			accept := server(t, n, tt.command)
			const clients = 40
			fds := knock(t, n, 8080, clients)
			until(t, "the queue is full", func() bool {
				return strings.HasPrefix(run(t, n, "-q", "-H", "--sample", "0").stdout, fmt.Sprintf("LISTEN %d %d 127.0.0.1:8080", tt.limit+1, tt.limit))
			})
			if in := connected(fds); in > tt.limit+1 {
				t.Logf("%d clients believe that they are connected", in)
			} else if in == clients {
				t.Fatal("no client is stuck")
			}
			r := run(t, n, "set", ":8080", "1024", "--yes")
			if want := fmt.Sprintf("%d → 1024  no restart, nothing lost", tt.limit); r.code != 0 || !strings.Contains(r.stdout, want) || !strings.Contains(r.stdout, tt.says) ||
				!strings.Contains(r.stdout, "it refuses nobody now") {
				t.Errorf("%+v", r)
			}
			until(t, "every client is connected", func() bool { return connected(fds) == clients })
			accept()
			served := 0
			until(t, "every client is served", func() bool {
				for i, fd := range fds {
					if fd < 0 {
						continue
					}
					if k, err := unix.Read(fd, make([]byte, 8)); err == nil && k == 3 {
						fds[i] = -1
						served++
					}
				}
				return served == clients
			})
		})
	}
}

// server starts one and waits until it is ready. accept lets it go on.
func server(t *testing.T, n *netns.Namespace, command []string) (accept func()) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.Do(func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // wrappers start the real one
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the server said %q, %v", line, err)
	}
	return func() { io.WriteString(in, "\n") }
}

// connected counts the clients whose handshake has ended.
func connected(fds []int) (n int) {
	for _, fd := range fds {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info.State == 1 {
			n++
		}
	}
	return n
}

func TestSet(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	fd := stalled(t, n, "127.0.0.1:8080", 5)
	stalled(t, n, "127.0.0.2:8080", 6)
	limit := func() int {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Fatal(err)
		}
		return int(info.Sacked)
	}
	if r := run(t, n, "set", ":8080", "100", "-y"); r.code != 64 || limit() != 5 ||
		!strings.Contains(r.stderr, "means 2 listeners") || !strings.Contains(r.stderr, "127.0.0.2:8080") {
		t.Errorf("several: %+v", r)
	}
	n.Sysctl("core/somaxconn", "64")
	r := run(t, n, "set", "127.0.0.1:8080", "100", "-y")
	if r.code != 0 || limit() != 64 || !strings.Contains(r.stdout, "5 → 64") || !strings.Contains(r.stdout, "sysctl -w net.core.somaxconn=100") {
		t.Errorf("clamped: limit %d, %+v", limit(), r)
	}
	knock(t, n, 8080, 9)
	until(t, "all are in the queue", func() bool {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && info.Unacked == 9
	})
	r = run(t, n, "set", "src", "127.0.0.1:8080", "2", "-y")
	if r.code != 0 || limit() != 2 || !strings.Contains(r.stdout, "9 connections wait already, and stay; new ones are refused") {
		t.Errorf("lowered: %+v", r)
	}
	r = run(t, n, "set", "src 127.0.0.1:8080", "7", "-y", "--json")
	if r.code != 0 || limit() != 7 || !strings.Contains(r.stdout, `"limit_before":2,"limit_after":7`) {
		t.Errorf("--json: %+v", r)
	}
}

func TestSetUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	cmd := command(t, "set", ":8080", "100", "-y")
	cmd.Path = readable(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if r := finish(t, n, cmd); r.code != 1 || !strings.Contains(r.stderr, "hidden") || !strings.Contains(r.stderr, "run as root, or as its user") {
		t.Errorf("%+v", r)
	}
}

func TestAdviseOffline(t *testing.T) {
	n := netns.New(t)
	r := run(t, n, "advise", "--arrivals", "1500", "--accepts", "2000", "--stall", "80ms")
	if r.code != 0 || !strings.Contains(r.stdout, "B = λS + 3√(λS) = 1500/s·80ms + margin = 120 + 33 = 153") || !strings.Contains(r.stdout, "A backlog of 153.") {
		t.Errorf("%+v", r)
	}
	r = run(t, n, "advise", "--arrivals", "92", "--accepts", "54", "--stall", "410ms", "--ascii")
	if r.code != 0 || !ascii(r.stdout) || !strings.Contains(r.stdout, "no backlog is enough") || !strings.Contains(r.stdout, "= 54 or less") {
		t.Errorf("%+v", r)
	}
}

// An accept rate that was seen says what the server can do only if it had work.
func TestAdvise(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	fd := stalled(t, n, "127.0.0.1:8080", 50)
	if r := run(t, n, "advise", ":8080", "--for", "2s"); r.code != 1 || !strings.Contains(r.stderr, "nothing arrived meanwhile") {
		t.Errorf("idle: %+v", r)
	}
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if c, err := dial(n, strconv.Itoa(8080)); err == nil {
				c.Close()
			}
			if c, _, err := fd.Accept(); err == nil {
				c.Close()
			}
		}
	}()
	defer func() { close(stop); <-done }()
	r := run(t, n, "advise", ":8080", "--for", "3s", "--stall", "200ms")
	if r.code != 0 || !strings.Contains(r.stdout, "or more: the queue ran empty every second") || !strings.Contains(r.stdout, "computed with 200ms, as you say") {
		t.Errorf("%+v", r)
	}
}
