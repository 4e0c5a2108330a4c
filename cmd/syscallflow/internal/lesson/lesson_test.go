package lesson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/internal/terminal"
	"onconn/internal/testleak"
)

// facts are what each lesson must have found, by its facts' names.
var facts = [Most + 1]map[string]string{
	1: {"early": "ECONNREFUSED", "connected": "ok", "waits": "1", "bytes": "6", "port": "yes", "empty": "0", "answered": "HELLO"},
	2: {"held0": "1", "held1": "2", "held5": "6", "half": "4", "neither": "0", "still": "4", "cookies": "2"},
	3: {"full": "2", "lost": "ETIMEDOUT", "got": "ok", "closed": "ECONNREFUSED", "late": "", "counted": ""},
	4: {"worker-binds": "no", "worker-listens": "no", "worker-accepts": "no", "accepts": "4", "passed": "4", "proxied": "no", "served": ""},
	5: {"primary-accepts": "0", "worker-binds": "no", "worker-accepts": "4", "given": "", "blocking": "", "epoll": "", "exclusive": ""},
	6: {"calls": "0", "same": "yes", "child": "2", "bind": "EINVAL", "listen": "ok", "limit": "4, 7", "both": ""},
	7: {"sockets": "2", "own": "yes", "without": "EADDRINUSE", "full": "1", "spread": "", "room": "", "refused": ""},
	8: {"waiting": "3", "after": "3", "answered": "3", "drained": "EAGAIN", "half-lost": "3", "replaced": "0", "lost": "0", "reset": ""},
	9: {"rows": "yes", "plain": "EADDRINUSE", "late": "EADDRINUSE", "both": "ok", "listens": "EADDRINUSE", "clients": "yes", "none": "no", "free": "ok"},
}

func TestLessons(t *testing.T) {
	for n := 1; n <= Most; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			testleak.FDs(t)
			testleak.Zombies(t)
			check(t, n)
		})
	}
}

// TestWithoutNode uses our own cluster where the reader has no Node.
func TestWithoutNode(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, n := range []int{4, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			testleak.FDs(t)
			testleak.Zombies(t)
			if r := check(t, n); !strings.Contains(r.Program, "there is no node in PATH") {
				t.Errorf("%q doesn't say why it isn't Node", r.Program)
			}
		})
	}
}

// TestNobody runs the lessons as an ordinary user.
func TestNobody(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user; the other tests are run as one")
	}
	testleak.FDs(t)
	testleak.Zombies(t)
	const nobody = 65534
	// The path to this file may be closed to that user; what /proc says isn't.
	cmd := exec.Command("/proc/self/exe", "-test.run=^(TestLessons|TestWithoutNode)$", "-test.v", "-test.timeout=4m")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR=/tmp", "HOME=/")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for n := 1; n <= Most; n++ {
		if want := fmt.Sprintf("--- PASS: TestLessons/%d ", n); !bytes.Contains(out, []byte(want)) {
			t.Errorf("no %q", want)
		}
	}
}

// check runs a lesson, and looks at its facts and at what is written.
func check(t *testing.T, n int) *Run {
	t.Helper()
	began := time.Now()
	r, err := Do(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("lesson %d took %v, uid %d", n, time.Since(began).Round(time.Millisecond), os.Getuid())
	for id, want := range facts[n] {
		i := slices.IndexFunc(r.Facts, func(f Fact) bool { return f.ID == id })
		if i < 0 {
			t.Errorf("no fact %q", id)
		} else if got := shown(r.Facts[i].Measured); want != "" && got != want {
			t.Errorf("%s: %s, not %s", id, got, want)
		}
	}
	for _, f := range r.Facts {
		if f.Differs() {
			t.Errorf("%s: %v, expected %s", f.ID, f, f.Expected)
		}
	}
	for _, needs := range claims(r) {
		for _, id := range needs {
			if !slices.ContainsFunc(r.Facts, func(f Fact) bool { return f.ID == id }) {
				t.Errorf("a text needs the fact %q, which there isn't", id)
			}
		}
	}
	checkText(t, r)
	checkJSON(t, r)
	if t.Failed() {
		var b bytes.Buffer
		(&Writer{W: &b, Style: terminal.Style{Width: 80}}).Write(r)
		t.Log(b.String())
	}
	return r
}

func claims(r *Run) (needs [][]string) {
	for _, x := range r.Texts {
		needs = append(needs, x.Needs)
	}
	for _, m := range r.Myths {
		needs = append(needs, m.Needs)
	}
	return needs
}

// checkText finds lines that a terminal would wrap, and what ASCII may not have.
func checkText(t *testing.T, r *Run) {
	t.Helper()
	for _, ascii := range []bool{false, true} {
		var b bytes.Buffer
		w := &Writer{W: &b, Style: terminal.Style{Width: 80, ASCII: ascii}, Answers: true}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if terminal.Cells(line) > 80 {
				t.Errorf("wider than 80: %s", line)
			}
			if ascii && strings.ContainsFunc(line, func(c rune) bool { return c > '~' }) {
				t.Errorf("not ASCII: %s", line)
			}
		}
		for _, part := range []string{r.Title, "What was recorded", "server", r.Think[:20], r.Answer[:20]} {
			if !strings.Contains(b.String(), part) && !strings.Contains(r.Program, "luster") {
				t.Errorf("nothing of %q", part)
			}
		}
	}
}

func checkJSON(t *testing.T, r *Run) {
	t.Helper()
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Schema  string
		Lesson  int
		Kernel  string
		Differs *bool
		Facts   []Fact
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Schema != Schema || got.Lesson != r.Number || got.Kernel == "" || len(got.Facts) != len(r.Facts) || got.Differs == nil || *got.Differs {
		t.Errorf("JSON: %s", b.String())
	}
}
