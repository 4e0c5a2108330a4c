package story

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
