package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// need skips the test without the program.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

// answers asks n times on new connections, and counts the different answers.
func answers(t *testing.T, addr string, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	client := oneShot(nil)
	for range n {
		body, _ := get(t, client, "http://"+addr+"/")
		got[strings.TrimSpace(body)]++
	}
	return got
}

// A simple server in Python gets its listening socket by systemd's protocol, and
// knows nothing of onconn.
func TestPythonServer(t *testing.T) {
	need(t, "python3")
	server, err := filepath.Abs("../../testdata/servers/listenfds.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			s := serve(t, "-n", "2", "-m", mode, "-l", "127.0.0.1:0", "--", "python3", server)
			addr := s.line(`listening on (\S+)`)[1]
			got := map[string]int{}
			for end := time.Now().Add(20 * time.Second); len(got) < 2; {
				for answer, n := range answers(t, addr, 10) {
					got[answer] += n
				}
				if time.Now().After(end) {
					t.Fatalf("the answers are %v, never from 2 processes", got)
				}
			}
			if code := s.stop(syscall.SIGINT); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for answer := range got {
				if pid := strings.TrimPrefix(answer, "hello from "); exists("/proc/" + pid) {
					t.Errorf("process %s is left", pid)
				}
			}
		})
	}
}

// A killed server is replaced, and nobody is refused meanwhile.
func TestPythonServerIsReplaced(t *testing.T) {
	need(t, "python3")
	server, err := filepath.Abs("../../testdata/servers/listenfds.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) { replaced(t, mode, server) })
	}
}

func replaced(t *testing.T, mode, server string) {
	s := serve(t, "-n", "1", "-m", mode, "-l", "127.0.0.1:0", "--", "python3", server)
	addr := s.line(`listening on (\S+)`)[1]
	var last string
	for range 2 {
		for answer := range answers(t, addr, 5) {
			if answer == last {
				t.Errorf("%q still answers", answer)
			}
			last = answer
		}
		var pid int
		fmt.Sscanf(last, "hello from %d", &pid)
		syscall.Kill(pid, syscall.SIGKILL)
		// Until it is gone it may take a connection along.
		for end := time.Now().Add(10 * time.Second); exists(fmt.Sprintf("/proc/%d", pid)); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nobody waits for the killed server")
			}
		}
	}
	if code := s.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// freePort is a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// lighttpd from Debian, unmodified, started twice on one port. It looks among the
// sockets it was given for the address in its configuration.
func TestLighttpd(t *testing.T) {
	need(t, "lighttpd")
	for _, mode := range []string{"shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			conf := filepath.Join(dir, "lighttpd.conf")
			port := freePort(t)
			config := fmt.Sprintf("server.systemd-socket-activation = \"enable\"\nserver.document-root = %q\nserver.bind = \"127.0.0.1\"\nserver.port = %d\nindex-file.names = ( \"index.html\" )\nserver.errorlog = %q\n",
				dir, port, filepath.Join(dir, "error.log"))
			if err := os.WriteFile(conf, []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("hello from lighttpd\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			s := serve(t, "-n", "2", "-m", mode, "-l", fmt.Sprintf("127.0.0.1:%d", port), "--", "lighttpd", "-D", "-f", conf)
			addr := s.line(`listening on (\S+)`)[1]
			got := answers(t, addr, 50)
			if got["hello from lighttpd"] != 50 {
				t.Errorf("the answers are %v", got)
			}
			if code := s.stop(syscall.SIGINT); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if errors, _ := os.ReadFile(filepath.Join(dir, "error.log")); strings.Contains(string(errors), "bind") {
				t.Errorf("it tried to bind itself: %s", errors)
			}
			if c, err := net.Dial("tcp", addr); err == nil {
				io.Copy(io.Discard, c)
				c.Close()
				t.Error("somebody still listens")
			}
		})
	}
}
