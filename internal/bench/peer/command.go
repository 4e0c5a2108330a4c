package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// What stands for the address and the number of workers in an argv.
const (
	address   = "{address}"
	processes = "{workers}"
)

// command is an argv with the address and the number of workers in their places.
func command(argv ...string) Command {
	return func(addr string, workers int) []string {
		filled := make([]string, len(argv))
		for i, a := range argv {
			switch a {
			case address:
				a = addr
			case processes:
				a = strconv.Itoa(workers)
			}
			filled[i] = a
		}
		return filled
	}
}

// own is a server of package serve. The program that measures runs it from itself.
func own(name string) func(context.Context, string) (Command, error) {
	return func(context.Context, string) (Command, error) {
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return command(program, "serve", name, address, processes), nil
	}
}

// ErrMissing is what an error of Get is that says what this machine lacks.
var ErrMissing = errors.New("missing")

// tool finds a program, or says which of Debian's packages have it.
func tool(name, debian string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s: apt-get install %s", ErrMissing, name, debian)
	}
	return path, nil
}

// source is the path of a file in testdata/peers, which is looked for from the
// current directory upwards.
func source(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "testdata", "peers", name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w: testdata/peers/%s: run it in onconn's source tree", ErrMissing, name)
		}
		dir = filepath.Dir(dir)
	}
}

// run runs a compiler. An error has what it said.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if out = bytes.TrimSpace(out); len(out) > 0 {
		err = errors.New(string(out))
	}
	return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
}
