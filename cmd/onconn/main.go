// Command onconn runs a program, or a built-in demo, as N workers behind one
// port.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"onconn/internal/cli"
)

func main() { os.Exit(execute(os.Args[1:])) }

func execute(args []string) int { return cli.Execute(newRoot(), args) }

// newRoot is the command tree. onconn alone means onconn run.
func newRoot() *cobra.Command {
	root := newRun("onconn [flags] [-- command [args]]")
	root.Long = "onconn serves one port with several worker processes.\n\n" + root.Long
	root.AddCommand(newRun("run [flags] [-- command [args]]"),
		newStatus(), newReload(), newScale(), newUpgrade(), newChaos())
	cli.Complete(root)
	return root
}
