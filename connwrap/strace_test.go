package connwrap_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// calls is what a system call did in all: how often it succeeded, and the sum of
// what it returned.
type calls struct{ n, sum int }

const childEnv = "CONNWRAP_TEST_CHILD"

// strace runs body in a process of its own, under strace(1), and returns the
// calls that succeeded. The child is this test binary at this very test. Where
// there is no strace, body runs all the same, but the test is skipped.
func strace(t *testing.T, trace string, body func()) map[string]calls {
	t.Helper()
	if os.Getenv(childEnv) != "" {
		body()
		t.SkipNow()
	}
	if out, err := exec.Command("strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		body()
		t.Skipf("nothing was counted, strace(1) doesn't work here: %v %s", err, out)
	}
	log := filepath.Join(t.TempDir(), "strace")
	test := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command("strace", "-f", "-s", "0", "-e", "trace="+trace, "-o", log, os.Args[0], "-test.run", test)
	cmd.Env = append(os.Environ(), childEnv+"=1", "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return parse(t, log)
}

var traceLine = regexp.MustCompile(`^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed).* = (\d+)`)

func parse(t *testing.T, log string) map[string]calls {
	t.Helper()
	f := must[*os.File](t)(os.Open(log))
	defer f.Close()
	all := map[string]calls{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if m := traceLine.FindStringSubmatch(lines.Text()); m != nil {
			c := all[m[1]]
			all[m[1]] = calls{c.n + 1, c.sum + must[int](t)(strconv.Atoi(m[2]))}
		}
	}
	check(t, lines.Err())
	return all
}
