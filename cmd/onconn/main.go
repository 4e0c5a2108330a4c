// Command onconn runs a program, or a built-in demo, as N workers behind one
// port.
package main

import (
	"errors"
	"fmt"
	"os"

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
	fmt.Fprintf(os.Stderr, "onconn: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(os.Stderr, "Try '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}

// newRoot is the command tree. onconn alone means onconn run.
func newRoot() *cobra.Command {
	root := newRun("onconn [flags] [-- command [args]]")
	root.Long = "onconn serves one port with several worker processes.\n\n" + root.Long
	root.Version = version()
	root.AddCommand(newRun("run [flags] [-- command [args]]"),
		newStatus(), newReload(), newScale(), newUpgrade(), newChaos(),
		manual.Command(func(err error) error { return usageError{err} }))
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}
