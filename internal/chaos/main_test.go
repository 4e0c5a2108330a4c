package chaos

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is the program of all roles.
func TestMain(m *testing.M) {
	if HasRole() {
		os.Exit(Role())
	}
	goleak.VerifyTestMain(m)
}
