package listen_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// children are what the test binary does when it is started as a child.
var children = map[string]func(){}

func TestMain(m *testing.M) {
	if role := children[os.Getenv("LISTEN_TEST_CHILD")]; role != nil {
		role()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
