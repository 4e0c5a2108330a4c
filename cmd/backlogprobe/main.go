// Command backlogprobe tells which accept queue is full, who suffers, and what
// to do.
package main

import (
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"onconn/internal/cli"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// With 10,000 listeners a third of the CPU time of a look goes to
		// collecting what it has just made.
		debug.SetGCPercent(400)
	}
	os.Exit(execute(os.Args[1:]))
}

func execute(args []string) int { return cli.Execute(newRoot(), joinWatch(args)) }

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
	root.AddCommand(newList("list [FILTER] [INTERVAL [COUNT]]"), newTop(), newCheck(), newAdvise(), newSet(),
		newProbe(), newExplain(), newExport())
	addCommonFlags(root)
	addHelp(root)
	root.SuggestionsMinimumDistance = 2
	cli.Complete(root)
	return root
}
