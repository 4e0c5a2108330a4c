package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is syscallflow itself when envMain is set, and a server for tests
// when envServer is: what syscallflow runs has only that one left.
const (
	envMain   = "SYSCALLFLOW_TEST_MAIN"
	envServer = "SYSCALLFLOW_TEST_SERVER"
)

func TestMain(m *testing.M) {
	if os.Getenv(envMain) != "" {
		os.Unsetenv(envMain)
		main()
	}
	if os.Getenv(envServer) != "" {
		serve()
	}
	goleak.VerifyTestMain(m)
}
