// Command syscallflow shows how a server really accepts: it runs any program, and
// draws how connections travel from the kernel's queue through its processes.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"onconn/internal/cli"
)

func main() { os.Exit(execute(os.Args[1:])) }

func execute(args []string) int { return cli.Execute(newRoot(), args) }

// newRoot is the command tree. syscallflow alone records and shows.
func newRoot() *cobra.Command {
	root := newShow()
	root.AddCommand(newRecord(), newReplay(), newCompare(), newLesson(), newSched())
	cli.Complete(root)
	return root
}
