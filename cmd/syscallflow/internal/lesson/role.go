package lesson

import (
	"fmt"
	"os"
	"strings"
)

// rolePrefix, before the first argument, makes a copy of this program one of those
// that the lessons look at: "lesson:server".
const rolePrefix = "lesson:"

var roles = map[string]func(args []string) error{
	"server":  serverRole,
	"cluster": clusterRole,
}

// The programs begin here, before main and its flags: this may be the command or a
// test.
func init() {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], rolePrefix) {
		return
	}
	name := strings.TrimPrefix(os.Args[1], rolePrefix)
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "syscallflow: no program %q\n", name)
		os.Exit(64)
	}
	if err := role(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "syscallflow: %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// self is the file of this program. What /proc says works even where the path to it
// is closed to this user.
func self() string {
	const link = "/proc/self/exe"
	if path, err := os.Readlink(link); err == nil {
		if file, err := os.Open(path); err == nil {
			file.Close()
			return path
		}
	}
	return link
}
