package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInherit(t *testing.T) {
	path := exampletest.Build(t)
	t.Run("serves", func(t *testing.T) { serves(t, path) })
	t.Run("backlog", func(t *testing.T) { backlog(t, path) })
	t.Run("killed", func(t *testing.T) { killed(t, path) })
	t.Run("refuses", func(t *testing.T) { refuses(t, path) })
}

// start returns where it listens, and the numbers of parent and child.
func start(t *testing.T, path string) (p *exampletest.Program, addr string, parent, child int) {
	t.Helper()
	p = exampletest.Start(t, path, "-listen", "127.0.0.1:0")
	m := p.Line(`^parent (\d+) and child (\d+) listen on (\S+);`)
	parent, _ = strconv.Atoi(m[1])
	child, _ = strconv.Atoi(m[2])
	if kids := p.Children(); parent != p.PID || len(kids) != 1 || kids[0] != child {
		t.Fatalf("%s, but it is process %d with the children %v", m[0], p.PID, kids)
	}
	return p, m[3], parent, child
}

// serves: both answer, with the words of the article.
func serves(t *testing.T, path string) {
	p, addr, _, child := start(t, path)
	answered := map[string]int{}
	exampletest.Eventually(t, "parent and child answer", func() bool {
		who := ask(t, dial(t, addr))
		p.Line("^Got connection from in " + who + "$")
		answered[who]++
		return answered["parent"] > 0 && answered["child"] > 0
	})
	p.Interrupt()
	p.Line(fmt.Sprintf(`^child %d has ended: exit status 0$`, child))
	p.End()
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
	return c
}

// ask returns who answers on c.
func ask(t *testing.T, c net.Conn) (who string) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	who, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "Thank you for your connecting to ")
	if !ok || who != "parent" && who != "child" {
		t.Fatalf("the answer is %q", b)
	}
	return who
}

// backlog: while nobody accepts, one connection is made and no second one.
func backlog(t *testing.T, path string) {
	p, addr, parent, child := start(t, path)
	for _, pid := range []int{parent, child} {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		exampletest.Eventually(t, "it is stopped", func() bool { return stopped(t, pid) })
	}
	waits := dial(t, addr)
	c, err := net.DialTimeout("tcp", addr, 500*time.Millisecond)
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("a second connection is made, or refused: %v", err)
	}
	if err == nil {
		c.Close()
	}
	for _, pid := range []int{parent, child} {
		syscall.Kill(pid, syscall.SIGCONT)
	}
	ask(t, waits)
	ask(t, dial(t, addr))
	p.Interrupt()
	p.End()
}

func stopped(t *testing.T, pid int) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "T")
}

// killed: the child goes with its parent.
func killed(t *testing.T, path string) {
	p, _, _, _ := start(t, path)
	p.KillEnds()
}

func refuses(t *testing.T, path string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exampletest.Refused(t, path, 2, `unexpected argument "8888"`, "8888")
	exampletest.Refused(t, path, 1, "run it without arguments", "child")
	exampletest.Refused(t, path, 1, "an IP address and a port", "-listen", "8888")
	exampletest.Refused(t, path, 1, "address already in use", "-listen", taken.Addr().String())
}
