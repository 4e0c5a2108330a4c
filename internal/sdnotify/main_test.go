package sdnotify

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// A test that needs another process starts the test binary again; it then sends
// these lines.
const sendVariable = "SDNOTIFY_TEST_SEND"

func TestMain(m *testing.M) {
	if lines := os.Getenv(sendVariable); lines != "" {
		n, err := FromEnvironment()
		if err == nil {
			err = n.Send(lines)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func process(r *Receiver, lines string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), sendVariable+"="+lines, "NOTIFY_SOCKET="+r.Address(), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}
