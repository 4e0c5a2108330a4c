package listen_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"onconn/internal/testleak"
	"onconn/listen"
)

func init() {
	children["echo"] = func() {
		var l net.Listener
		var err error
		if os.Getenv("TEST_NET") != "" {
			l, err = net.Listen("tcp", "127.0.0.1:0")
		} else {
			l, err = listen.Config{
				Shared:         os.Getenv("TEST_SHARED") != "",
				PauseOnConnect: os.Getenv("TEST_PAUSE") != "",
			}.Listen(context.Background(), "tcp", "127.0.0.1:0")
		}
		if err != nil {
			say(err)
			return
		}
		say(l.Addr())
		for {
			conn, err := l.Accept()
			if err != nil {
				say(err)
				return
			}
			var b [1]byte
			conn.Read(b[:])
			conn.Write(b[:])
			conn.Close()
			if b[0] == 'q' {
				return
			}
		}
	}
}

// TestSyscalls counts the system calls of a server that accepts, reads, writes
// and closes, apart from those that only wait.
func TestSyscalls(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	testleak.FDs(t)
	const conns = 200
	ofNet := countCalls(t, strace, conns, "TEST_NET=1")
	t.Logf("net.Listener:   %s", ofNet)
	ours := countCalls(t, strace, conns)
	t.Logf("Listener:       %s", ours)
	t.Logf("PauseOnConnect: %s", countCalls(t, strace, conns, "TEST_PAUSE=1"))
	t.Logf("Shared:         %s", countCalls(t, strace, conns, "TEST_SHARED=1"))

	// accept4 twice (the second finds nothing), O_NONBLOCK and SO_LINGER asked for,
	// read, write, close. They are recvfrom and sendto, unless the read came too
	// soon: then it is made again, after fcntl and between two epoll_ctl.
	if sum := ours.sum(); sum > 7.1 || sum >= ofNet.sum()-3 {
		t.Errorf("%.1f calls for a connection, package net makes %.1f", sum, ofNet.sum())
	}
	if n := ours["setsockopt"] + ours["getsockname"]; n > 0.1 {
		t.Errorf("%.1f calls for what the connection inherits", n)
	}
}

// calls are numbers for each connection.
type calls map[string]float64

func (c calls) sum() (sum float64) {
	for _, n := range c {
		sum += n
	}
	return sum
}

func (c calls) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.1f:", c.sum())
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if c[name] >= 0.05 {
			fmt.Fprintf(&b, " %s %.1f", name, c[name])
		}
	}
	return b.String()
}

var callName = regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`)

func countCalls(t *testing.T, strace string, conns int, env ...string) calls {
	t.Helper()
	output := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command(strace, "-f", "-qq", "-o", output,
		"-e", "trace=accept4,read,write,recvfrom,sendto,close,epoll_ctl,setsockopt,getsockopt,getsockname,getpeername,fcntl,shutdown",
		"/proc/self/exe")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[len(cmd.Args)-1] = self
	cmd.Env = append(append(os.Environ(), env...), "LISTEN_TEST_CHILD=echo", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		cmd.Wait()
		t.Skip("strace doesn't work here")
	}
	for i := range conns {
		say := "x"
		if i == conns-1 {
			say = "q"
		}
		c, err := net.Dial("tcp", strings.TrimSpace(address))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, say)
		if got, err := io.ReadAll(c); string(got) != say || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		c.Close()
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	traced, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	_, served, found := strings.Cut(string(traced), address[:len(address)-1])
	if !found {
		t.Fatal("the address was never written")
	}
	counted := calls{}
	for _, m := range callName.FindAllStringSubmatch(served, -1) {
		counted[m[1]] += 1 / float64(conns)
	}
	return counted
}
