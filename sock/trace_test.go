package sock

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
)

// traceChildEnv makes the test binary run traceChild: it names the kind.
const traceChildEnv = "ONCONN_SOCK_TRACE_CHILD"

const traced = 5 // connections

// Accept makes exactly one system call.
func TestAcceptIsOneCall(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	for name := range kinds {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			testleak.Zombies(t)
			log := filepath.Join(t.TempDir(), "trace")
			cmd := exec.Command(strace, "-f", "-o", log, "-e", "trace=%network,getppid", os.Args[0])
			cmd.Env = append(os.Environ(), traceChildEnv+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				if strings.Contains(string(out), "Operation not permitted") {
					t.Skipf("strace may not trace: %s", out)
				}
				t.Fatalf("%v: %s", err, out)
			}
			calls := betweenMarks(t, log)
			if len(calls) != traced {
				t.Errorf("%d connections took %d system calls:\n%s", traced, len(calls), strings.Join(calls, "\n"))
			}
			for _, call := range calls {
				if !strings.Contains(call, "accept4(") {
					t.Errorf("a call that isn't accept4: %s", call)
				}
			}
		})
	}
}

// betweenMarks are the traced calls between the two of getppid.
func betweenMarks(t *testing.T, log string) (calls []string) {
	f, err := os.Open(log)
	check(t, err)
	defer f.Close()
	marks := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.Contains(line, "getppid("):
			marks++
		case marks == 1 && strings.Contains(line, "("):
			calls = append(calls, line)
		}
	}
	if marks != 2 {
		t.Fatalf("found %d marks", marks)
	}
	return calls
}

// traceChild accepts connections between two calls of getppid.
func traceChild() {
	runtime.LockOSThread()
	k := kinds[os.Getenv(traceChildEnv)]
	must := func(err error) {
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			panic(err)
		}
	}
	l, err := Socket(k.family, k.typ, k.proto)
	must(err)
	must(l.Bind(k.local))
	must(l.Listen(traced))
	a, err := l.Getsockname()
	must(err)
	for range traced {
		c, err := Socket(k.family, k.typ, k.proto)
		must(err)
		must(c.Connect(a))
		for p := []unix.PollFd{{Fd: int32(c), Events: unix.POLLOUT}}; p[0].Revents == 0; {
			if _, err := unix.Poll(p, -1); err != unix.EINTR {
				must(err)
			}
		}
	}
	unix.Getppid()
	for range traced {
		_, _, err := l.Accept()
		must(err)
	}
	unix.Getppid()
}
