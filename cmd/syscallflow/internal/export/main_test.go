package export

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"onconn/cmd/syscallflow/internal/recording"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t testing.TB, name string) *recording.Recording {
	t.Helper()
	f, err := os.Open("../../testdata/made/" + name + ".json")
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
