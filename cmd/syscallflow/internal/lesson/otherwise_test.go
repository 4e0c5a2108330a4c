package lesson

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"onconn/internal/netns"
	"onconn/internal/terminal"
	"onconn/internal/testleak"
)

// envOtherwise says that the settings of the network differ from the usual ones.
const envOtherwise = "LESSON_TEST_OTHERWISE"

// TestOtherwise runs lessons where their texts are wrong: where a closing socket's
// connections move to another one, and where a backlog of 5 is cut to 3.
func TestOtherwise(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	n := netns.New(t)
	n.Sysctl("ipv4/tcp_migrate_req", "1")
	for _, which := range []string{"8", "2"} {
		if which == "2" {
			n.Sysctl("core/somaxconn", "3")
		}
		n.Do(func() {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestOtherwiseHere$", "-test.v")
			cmd.Env = append(os.Environ(), envOtherwise+"="+which)
			if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestOtherwiseHere")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestOtherwiseHere(t *testing.T) {
	which := os.Getenv(envOtherwise)
	if which == "" {
		t.Skip("TestOtherwise runs it in a network of its own")
	}
	number, differs, wrong, right := 8, []string{"reset", "half-lost"}, "It lost every connection", "The queue belongs to the socket"
	if which == "2" {
		number, differs, wrong, right = 2, []string{"held5"}, "Each holds one more", "The limit is capped"
	}
	r, err := Do(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Facts {
		expected := true
		for _, id := range differs {
			expected = expected && f.ID != id
		}
		if f.Differs() == expected {
			t.Errorf("%v: differs: %v", f, f.Differs())
		}
	}
	var b bytes.Buffer
	if err := (&Writer{W: &b, Style: terminal.Style{Width: 1000}}).Write(r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "So this can't be claimed of this machine: "+wrong) {
		t.Errorf("%q is claimed", wrong)
	}
	if !strings.Contains(b.String(), "\n"+right) {
		t.Errorf("%q isn't claimed", right)
	}
}
