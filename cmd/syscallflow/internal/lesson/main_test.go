package lesson

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The lessons' programs are this binary too; they begin in init.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // spares each program the second that the race detector sleeps at exit
	goleak.VerifyTestMain(m)
}
