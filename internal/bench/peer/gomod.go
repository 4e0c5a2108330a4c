package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// inGo is a program of testdata/peers/gomod, a module of its own: what it requires, the
// go command downloads.
func inGo(name string, args ...string) func(context.Context, string) (Command, error) {
	return func(ctx context.Context, dir string) (Command, error) {
		program := filepath.Join(dir, name)
		if _, err := os.Stat(program); err != nil { // else another peer is the same program
			module, err := source("gomod")
			if err != nil {
				return nil, err
			}
			compiler, err := tool("go", "golang")
			if err != nil {
				return nil, err
			}
			download := exec.CommandContext(ctx, compiler, "mod", "download")
			download.Dir = module
			if err := run(download); err != nil {
				said, _, _ := strings.Cut(err.Error(), "\n")
				return nil, fmt.Errorf("%w: modules: %s", ErrMissing, said)
			}
			build := exec.CommandContext(ctx, compiler, "build", "-o", program, "./"+name)
			build.Dir = module
			if err := run(build); err != nil {
				return nil, err
			}
		}
		return command(append([]string{program}, args...)...), nil
	}
}
