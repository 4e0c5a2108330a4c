package probe

import (
	"os"
)

// The names, as argv[0], that make a copy of this program a child of the probe.
const (
	resumerName = "backlogprobe-resumer"
	demoName    = "backlogprobe-demo"
)

// The children begin here, before main and its flags: the program may be the
// command or a test.
func init() {
	switch os.Args[0] {
	case resumerName:
		os.Exit(resumer(os.Args[1:]))
	case demoName:
		os.Exit(demoChild(os.Args[1:]))
	}
}
