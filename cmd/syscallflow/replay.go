package main

import (
	"errors"

	"github.com/spf13/cobra"

	"onconn/internal/cli"
)

// newReplay draws what was recorded before. It needs no privilege.
func newReplay() *cobra.Command {
	var f outputFlags
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Draw a recording",
		Example: `  syscallflow replay node.json
  syscallflow replay --html node.html node.json
  syscallflow replay --mermaid node.json >> README.md`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usage(errors.New("one recording to draw: syscallflow replay FILE"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			style, err := f.check(w)
			if err != nil {
				return err
			}
			r, err := readRecording(args[0])
			if err != nil {
				return err
			}
			return f.show(w, style, r)
		},
	}
	f.add(cmd)
	cmd.Flags().SortFlags = false
	return cmd
}
