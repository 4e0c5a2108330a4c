// Command syscallflow shows how a server really accepts: it runs any program, and
// draws how connections travel from the kernel's queue through its processes.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"onconn/internal/manual"
)

// Exit codes; usage is EX_USAGE of sysexits.h.
const (
	exitFailure = 1
	exitUsage   = 64
)

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() { os.Exit(execute(os.Args[1:])) }

func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "syscallflow: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(os.Stderr, "Try '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}

// newRoot is the command tree. syscallflow alone records and shows.
func newRoot() *cobra.Command {
	root := newShow()
	root.Version = version()
	root.AddCommand(newRecord(), newReplay(), newCompare(), newLesson(), newSched(),
		manual.Command(func(err error) error { return usageError{err} }))
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "unknown"
}
