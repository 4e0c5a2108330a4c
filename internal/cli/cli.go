// Package cli is what the commands of this module have in common: exit codes, the
// error of a wrong call, the version, the manual pages.
package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Exit codes. WrongUsage is EX_USAGE of sysexits.h, never 2, which Nagios would take
// for critical.
const (
	Failure    = 1
	WrongUsage = 64
)

// A UsageError is a mistake in how a command was called.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

func (e UsageError) Unwrap() error { return e.Err }

// Usage makes a UsageError of err.
func Usage(err error) error { return UsageError{err} }

// An ExitCode ends the program with that code after the command has said all.
type ExitCode int

func (c ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// Complete gives a command tree its version, its manual pages, and Execute's way with
// errors.
func Complete(root *cobra.Command) {
	root.Version = Version()
	root.AddCommand(newMan())
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
}

// Execute runs a command of the tree, prints its error, and returns the exit code.
func Execute(root *cobra.Command, args []string) int {
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[ExitCode](err); ok {
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", root.Name(), err)
	if _, ok := errors.AsType[UsageError](err); ok {
		fmt.Fprintf(os.Stderr, "Try '%s --help'.\n", cmd.CommandPath())
		return WrongUsage
	}
	return Failure
}

// Version is that of the module, as it was built.
func Version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "unknown"
}
