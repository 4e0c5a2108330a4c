package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"onconn/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHello(t *testing.T) {
	path := exampletest.Build(t)
	t.Run("serves", func(t *testing.T) { serves(t, path) })
	t.Run("killed", func(t *testing.T) { killed(t, path) })
	t.Run("refuses", func(t *testing.T) { refuses(t, path) })
}

func serves(t *testing.T, path string) {
	p := exampletest.Start(t, path, "-listen", "127.0.0.1:0")
	url := p.Line(`listening on .* curl -i (http://\S+)$`)[1]

	// Each worker answers, once all of them listen.
	answered := map[string]int{}
	sum := 0
	exampletest.Eventually(t, "every worker answers", func() bool {
		body, header := exampletest.Get(t, url)
		if body != "hello world\n" {
			t.Fatalf("the answer is %q", body)
		}
		answered[header.Get("Worker")]++
		sum++
		return len(answered) == runtime.NumCPU()
	})
	for id := range answered {
		if n, err := strconv.Atoi(id); err != nil || n < 1 || n > runtime.NumCPU() {
			t.Errorf("worker %q answered", id)
		}
	}
	p.Line(fmt.Sprintf(`^numReqs = %d$`, sum)) // one message for each request

	// A request that has begun when Ctrl-C comes is answered; an idle
	// connection is closed.
	addr := strings.TrimPrefix(url, "http://")
	idle, begun := dial(t, addr), dial(t, addr)
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	idleReader := bufio.NewReader(idle)
	wantHello(t, idleReader)
	io.WriteString(begun, "GET / HTTP/1.1\r\n")
	p.Interrupt()
	p.Line("draining")
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection is not closed but %v", err)
	}
	io.WriteString(begun, "Host: x\r\n\r\n")
	wantHello(t, bufio.NewReader(begun))
	p.End()
	if last := fmt.Sprintf("numReqs = %d\n", sum+2); !strings.HasSuffix(p.Said(), last) {
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

func wantHello(t *testing.T, r *bufio.Reader) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "hello world\n" || err != nil {
		t.Fatalf("the answer is %q, %v", body, err)
	}
}

// killed: workers don't outlive a primary that was killed.
func killed(t *testing.T, path string) {
	p := exampletest.Start(t, path, "-listen", "127.0.0.1:0")
	for range runtime.NumCPU() {
		p.Line(`worker \d+ \(pid \d+\) is listening`)
	}
	p.KillEnds()
}

func refuses(t *testing.T, path string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exampletest.Refused(t, path, 2, `unexpected argument "8000"`, "8000")
	exampletest.Refused(t, path, 2, "not defined", "-port", "8000")
	exampletest.Refused(t, path, 1, "missing port", "-listen", "8000")
	exampletest.Refused(t, path, 1, "invalid port", "-listen", ":65536")
	exampletest.Refused(t, path, 1, "address already in use", "-listen", taken.Addr().String())
}
