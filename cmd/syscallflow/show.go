package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"onconn/cmd/syscallflow/internal/recording"
)

func newShow() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "syscallflow [flags] -- PROGRAM [ARGS]",
		Short: "Show how a server really accepts",
		Long: `syscallflow runs a program and shows what it and all its descendants do with sockets:
the system calls, the packets and the kernel's queue, on one clock, with each socket
followed through fork, exec, dup and SCM_RIGHTS. It needs no privilege for that; with
root or CAP_NET_RAW it shows packets too.`,
		Example: `  syscallflow --requests 4 --url http://127.0.0.1:8000/ -- node cluster.js
  syscallflow -- python3 -m http.server 8000
  syscallflow -p 4711`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := f.record(cmd, args)
			if result.Recording != nil {
				list(os.Stdout, result.Recording)
			}
			return err
		},
	}
	f.add(cmd)
	return cmd
}

// list prints a line for each call, as strace does.
func list(w io.Writer, r *recording.Recording) {
	names := map[int]string{}
	for _, p := range r.Processes {
		names[p.PID] = p.Name
	}
	for _, c := range r.Calls {
		var args []string
		for i, a := range c.Args {
			text := a.Text
			if i == 0 && c.FD != nil && c.FD.Socket != 0 {
				text += fmt.Sprintf("<s%d>", c.FD.Socket)
			}
			args = append(args, text)
		}
		fmt.Fprintf(w, "%10.3f ms %s[%d] %s(%s) = %s\n", float64(c.Begin)/1e6, names[c.PID], c.PID, c.Name,
			strings.Join(args, ", "), returned(c))
	}
	for _, u := range r.Unseen {
		fmt.Fprintln(w, u)
	}
}

func returned(c recording.Call) string {
	switch {
	case c.End == 0:
		return "?"
	case c.Errno != "":
		return "-1 " + c.Errno
	case c.New != nil && c.New.Socket != 0:
		return fmt.Sprintf("%d<s%d> %s", c.Return, c.New.Socket, c.Address)
	}
	text := fmt.Sprint(c.Return)
	for _, p := range c.Passed {
		text += fmt.Sprintf(" %d<s%d>", p.Number, p.Socket)
	}
	return text
}
