// Command backlogprobe tells which accept queue is full, who suffers, and what
// to do.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"onconn/internal/manual"
)

// Exit codes. check has those of Nagios besides; usage is EX_USAGE of
// sysexits.h, never 2, which Nagios would take for critical.
const (
	exitFailure = 1
	exitUsage   = 64
)

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode ends the program with a code after the command has said all.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() {
	if os.Getenv("GOGC") == "" {
		// With 10,000 listeners a third of the CPU time of a look goes to
		// collecting what it has just made.
		debug.SetGCPercent(400)
	}
	os.Exit(execute(os.Args[1:]))
}

func execute(args []string) int {
	root := newRoot()
	root.SetArgs(joinWatch(args))
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "backlogprobe: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(os.Stderr, "Try '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}

// joinWatch lets a number follow -w, which may stand alone: a flag whose value
// is optional takes it only after "=".
func joinWatch(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(joined, args[i:]...)
		}
		if (arg == "-w" || arg == "--watch") && i+1 < len(args) {
			if _, ok := number(args[i+1]); ok {
				arg += "=" + args[i+1]
				i++
			}
		}
		joined = append(joined, arg)
	}
	return joined
}

// newRoot is the command tree. backlogprobe alone means backlogprobe list.
func newRoot() *cobra.Command {
	root := newList("backlogprobe [FILTER] [INTERVAL [COUNT]]")
	root.Version = version()
	root.AddCommand(newList("list [FILTER] [INTERVAL [COUNT]]"), newTop(), newCheck(), newAdvise(), newSet(),
		newProbe(), newExplain(), newExport())
	addCommonFlags(root)
	addHelp(root)
	root.AddCommand(manual.Command(func(err error) error { return usageError{err} }))
	root.SilenceUsage, root.SilenceErrors, root.SuggestionsMinimumDistance = true, true, 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "unknown"
}
