package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newShow() *cobra.Command {
	var f recordFlags
	var output outputFlags
	cmd := &cobra.Command{
		Use:   "syscallflow [flags] -- PROGRAM [ARGS]",
		Short: "Show how a server really accepts",
		Long: `syscallflow runs a program and shows what it and all its descendants do with sockets:
the system calls, the packets and the kernel's queue, on one clock, with each socket
followed through fork, exec, dup and SCM_RIGHTS. It needs no privilege for that; with
root or CAP_NET_RAW it shows packets too.`,
		Example: `  syscallflow --requests 4 --url http://127.0.0.1:8000/ -- node cluster.js
  syscallflow -- python3 -m http.server 8000
  syscallflow --html nginx.html -- nginx -g 'daemon off;'
  syscallflow -p 4711`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			style, err := output.check(w)
			if err != nil {
				return err
			}
			result, err := f.record(cmd, args)
			if result.Recording != nil && len(result.Processes) > 0 {
				err = errors.Join(err, output.show(w, style, result.Recording))
			}
			return err
		},
	}
	f.add(cmd)
	output.add(cmd)
	return cmd
}
