package story

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"onconn/cmd/syscallflow/internal/recording"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load reads a recording of testdata.
func load(t testing.TB, name string) *recording.Recording {
	t.Helper()
	f, err := os.Open(filepath.Join("../../testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := recording.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lines are the steps, each as a line: "node primary>node worker: SCM_RIGHTS 22 = 14".
func lines(s *Story) []string {
	var lines []string
	for _, step := range s.Steps {
		line := s.Lanes[step.From].Name
		if step.To != step.From {
			line += ">" + s.Lanes[step.To].Name
		}
		if step.Kind == Rest {
			line = "rest"
		}
		lines = append(lines, strings.TrimSpace(line+": "+step.Label+" "+step.Result))
	}
	return lines
}

// inOrder fails unless each of the wanted lines follows the one before it.
func inOrder(t *testing.T, got []string, want ...string) {
	t.Helper()
	next := 0
	for _, line := range got {
		if next < len(want) && line == want[next] {
			next++
		}
	}
	if next < len(want) {
		t.Errorf("no %q at its place in:\n%s", want[next], strings.Join(got, "\n"))
	}
}
