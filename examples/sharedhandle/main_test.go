package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"onconn/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSharedHandle(t *testing.T) {
	path := exampletest.Build(t)
	t.Run("serves", func(t *testing.T) { serves(t, path) })
	t.Run("closes", func(t *testing.T) { closes(t, path) })
	t.Run("killed", func(t *testing.T) { killed(t, path) })
	t.Run("refuses", func(t *testing.T) { refuses(t, path) })
}

// serves: each child answers, and nobody else; one that is killed is not
// replaced, and the others go on.
func serves(t *testing.T, path string) {
	p := exampletest.Start(t, path, "-listen", "127.0.0.1:0", "-children", "3")
	url := p.Line(`listening on .* curl (http://\S+)$`)[1]
	children := p.Children()
	if len(children) != 3 {
		t.Fatalf("there are the children %v", children)
	}
	all := func(children []int) {
		answered := map[int]bool{}
		exampletest.Eventually(t, "every child answers", func() bool {
			pid := ask(t, url)
			if !slices.Contains(children, pid) {
				t.Fatalf("process %d answered, which is none of %v", pid, children)
			}
			answered[pid] = true
			return len(answered) == len(children)
		})
	}
	all(children)

	dead := children[0]
	if err := syscall.Kill(dead, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.Line(fmt.Sprintf(`^child %d has ended: signal: killed$`, dead))
	all(children[1:])

	p.Interrupt()
	p.End()
	for _, pid := range children[1:] {
		if line := fmt.Sprintf("child %d has ended: exit status 0\n", pid); !strings.Contains(p.Said(), line) {
			t.Errorf("there is no %q", line)
		}
	}
	if s := p.Stderr(); s != "" {
		t.Errorf("standard error: %s", s)
	}
}

// closes: the socket is the children's alone, so it ends with the last of them.
func closes(t *testing.T, path string) {
	p := exampletest.Start(t, path, "-listen", "127.0.0.1:0", "-children", "1")
	url := p.Line(`curl (http://\S+)$`)[1]
	child := ask(t, url)
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.Line(fmt.Sprintf(`^child %d has ended: signal: killed$`, child))
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody is left to answer, but connecting gives %v", err)
	}
	if err == nil {
		c.Close()
	}
	p.Interrupt()
	p.End()
}

func ask(t *testing.T, url string) (pid int) {
	t.Helper()
	body, _ := exampletest.Get(t, url)
	pid, err := strconv.Atoi(strings.TrimSpace(body))
	if err != nil {
		t.Fatalf("the answer is %q", body)
	}
	return pid
}

// killed: the children go with their master.
func killed(t *testing.T, path string) {
	p := exampletest.Start(t, path, "-listen", "127.0.0.1:0", "-children", "2")
	ask(t, p.Line(`curl (http://\S+)$`)[1])
	p.KillEnds()
}

func refuses(t *testing.T, path string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exampletest.Refused(t, path, 2, "can't make sense of", "8000")
	exampletest.Refused(t, path, 2, "can't make sense of", "-children", "0")
	exampletest.Refused(t, path, 1, "run it without arguments", "child")
	exampletest.Refused(t, path, 1, "missing port", "-listen", "8000")
	exampletest.Refused(t, path, 1, "address already in use", "-listen", taken.Addr().String())
}
