package draw

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/story"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordings are those of testdata, by name.
func recordings(t testing.TB) map[string]*recording.Recording {
	t.Helper()
	all := map[string]*recording.Recording{}
	for _, pattern := range []string{"../../testdata/made/*.json", "../../testdata/recordings/*.json"} {
		prefix := ""
		if strings.Contains(pattern, "recordings") {
			prefix = "real-"
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := recording.Read(f)
			f.Close()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all[prefix+strings.TrimSuffix(filepath.Base(name), ".json")] = r
		}
	}
	if len(all) == 0 {
		t.Fatal("no recordings")
	}
	return all
}

func tell(t testing.TB, name string) *story.Story {
	t.Helper()
	r := recordings(t)[name]
	if r == nil {
		t.Fatalf("no recording %s", name)
	}
	return story.Tell(r, story.Options{})
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v: make it with -update, and read it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; -update writes it anew. Now it is:\n%s", name, got)
	}
}
