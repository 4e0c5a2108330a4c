package main

import (
	"errors"

	"github.com/spf13/cobra"

	"onconn/cmd/syscallflow/internal/compare"
	"onconn/internal/cli"
)

// newCompare lays two recordings side by side.
func newCompare() *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two recordings: calls for each connection, and what differs",
		Example: `  syscallflow compare node.json nginx.json
  syscallflow compare rr.json shared.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usage(errors.New("two recordings to compare: syscallflow compare A B"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := readRecording(args[0])
			if err != nil {
				return err
			}
			b, err := readRecording(args[1])
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			style, err := f.style(w)
			if err != nil {
				return err
			}
			return compare.Write(w, a, b, style)
		},
	}
	f.add(cmd)
	return cmd
}
