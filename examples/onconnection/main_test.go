package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnconnection(t *testing.T) {
	path := exampletest.Build(t)
	t.Run("serves", func(t *testing.T) { serves(t, path) })
	t.Run("gives back", func(t *testing.T) { givesBack(t, path) })
	t.Run("refuses", func(t *testing.T) { refuses(t, path) })
}

func start(t *testing.T, path string) (p *exampletest.Program, url, addr string) {
	t.Helper()
	p = exampletest.Start(t, path, "-listen", "127.0.0.1:0")
	url = p.Line(fmt.Sprintf(`^pid %d is listening on .* curl -i (http://\S+)$`, p.PID))[1]
	return p, url, strings.TrimPrefix(url, "http://")
}

// serves: clients that say nothing, or half of a request, hold nobody up.
func serves(t *testing.T, path string) {
	p, url, addr := start(t, path)
	var slow []net.Conn
	for range 20 {
		c := dial(t, addr)
		io.WriteString(c, "GET / HTTP/1.1\r\nHo")
		slow = append(slow, c, dial(t, addr))
	}
	for range 20 {
		if body, _ := exampletest.Get(t, url); !strings.HasPrefix(body, "hello 127.0.0.1:") {
			t.Fatalf("the answer is %q", body)
		}
	}
	for i, c := range slow {
		rest := "st: x\r\n\r\n"
		if i%2 == 1 {
			rest = "GET / HTTP/1.1\r\nHo" + rest
		}
		io.WriteString(c, rest)
		wantHello(t, c)
	}
	silent := dial(t, addr)
	defer silent.Close()
	exampletest.Get(t, url) // so that the silent one before it was accepted
	p.Interrupt()
	p.End()
	if last := "62 connections, 1 without a whole request\n"; !strings.HasSuffix(p.Said(), last) {
		t.Errorf("the last line is not %q", last)
	}
	if s := p.Stderr(); s != "" {
		t.Errorf("standard error: %s", s)
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantHello reads one whole answer and the end of the connection.
func wantHello(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("hello %v\n", c.LocalAddr()); string(body) != want || err != nil {
		t.Fatalf("the answer is %q, %v; want %q", body, err, want)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the connection doesn't end: %v", err)
	}
}

// givesBack: no descriptor stays open for a client that went early, or sent too
// much.
func givesBack(t *testing.T, path string) {
	p, url, addr := start(t, path)
	exampletest.Get(t, url)
	count := func() int {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	exampletest.Eventually(t, "the first connection is closed", func() bool { return count() == idle(t, p.PID) })
	for i := range 30 {
		c := dial(t, addr)
		switch i % 3 {
		case 0: // silent, and then the end
		case 1:
			io.WriteString(c, "GET / HT")
			c.(*net.TCPConn).SetLinger(0) // a reset
		case 2:
			io.WriteString(c, strings.Repeat("x", 2*maxRequest))
			c.SetDeadline(time.Now().Add(30 * time.Second))
			if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
				t.Errorf("too long a request is answered")
			}
		}
		c.Close()
	}
	exampletest.Get(t, url)
	exampletest.Eventually(t, "all connections are closed", func() bool { return count() == idle(t, p.PID) })
	p.Interrupt()
	p.End()
}

// idle is how many descriptors the process has but for connections: it counts
// those that are no sockets, and the listening one.
func idle(t *testing.T, pid int) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(dir + fd.Name()); err == nil && !strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n + 1
}

func refuses(t *testing.T, path string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exampletest.Refused(t, path, 2, `unexpected argument "8000"`, "8000")
	exampletest.Refused(t, path, 1, "missing port", "-listen", "8000")
	exampletest.Refused(t, path, 1, "address already in use", "-listen", taken.Addr().String())
}
