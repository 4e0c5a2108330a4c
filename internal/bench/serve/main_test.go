package serve_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"onconn/internal/bench/serve"
	"onconn/sock"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serve.Main(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// patience is far longer than anything here takes.
const patience = 30 * time.Second

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain waited until %s", what)
		}
	}
}

// A server is one that runs until the end of the test.
type server struct {
	pid  int
	addr sock.Addr
}

// start starts a server with one worker, and waits until it listens.
func start(t *testing.T, name string) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	addr := ln.Addr().String()
	ln.Close()
	cmd := exec.Command("/proc/self/exe", "serve", name, addr, "1")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var said bytes.Buffer
	cmd.Stderr = &said
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
		if err := cmd.Wait(); err != nil || said.Len() > 0 {
			t.Errorf("%v: %s", err, said.String())
		}
	})
	eventually(t, "it listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return &server{cmd.Process.Pid, sock.IPAddr(netip.MustParseAddrPort(addr))}
}

// children are the processes that pid has started.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	check(t, err)
	for _, task := range tasks {
		list, err := os.ReadFile(task)
		check(t, err)
		for _, word := range strings.Fields(string(list)) {
			child, err := strconv.Atoi(word)
			check(t, err)
			pids = append(pids, child)
		}
	}
	return pids
}

// closed opens a connection, and waits until it is closed.
func (s *server) closed(t *testing.T) {
	t.Helper()
	if got := s.exchange(t, ""); got != "" {
		t.Fatalf("it said %q", got)
	}
}

// answered asks for the page on a connection of its own.
func (s *server) answered(t *testing.T) {
	t.Helper()
	got := s.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n"+strings.Repeat("onconnecti", 10)) {
		t.Fatalf("it said %q", got)
	}
}

// exchange opens a connection, sends the request, and reads until its end.
func (s *server) exchange(t *testing.T, request string) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	conn := sock.FD(fd)
	defer conn.Close()
	limit := unix.NsecToTimeval(int64(patience))
	check(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	if request != "" {
		// A client that has this option leaves out the last ACK of the handshake, as
		// its data will be one. So the server never has a connection without its
		// request, and counts are the same each time (tcp_rcv_synsent_state_process).
		check(t, sock.DeferAccept.Set(conn, time.Second))
	}
	check(t, conn.Connect(s.addr))
	if request != "" {
		_, err := conn.Write([]byte(request))
		check(t, err)
	}
	var got bytes.Buffer
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		if n == 0 && err == nil || errors.Is(err, unix.ECONNRESET) {
			return got.String()
		}
		check(t, err)
		got.Write(buf[:n])
	}
}
