package peer

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// inC is testdata/peers/NAME.c with these arguments.
func inC(name string, args ...string) func(context.Context, string) (Command, error) {
	return func(ctx context.Context, dir string) (Command, error) {
		program := filepath.Join(dir, name)
		if _, err := os.Stat(program); err != nil { // else another peer is the same program
			src, err := source(name + ".c")
			if err != nil {
				return nil, err
			}
			cc, err := tool("cc", "gcc libc6-dev")
			if err != nil {
				return nil, err
			}
			if err := run(exec.CommandContext(ctx, cc, "-O2", "-o", program, src)); err != nil {
				return nil, err
			}
		}
		return command(append([]string{program}, args...)...), nil
	}
}
