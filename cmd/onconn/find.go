package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"onconn/cluster"
	"onconn/cluster/control"
	"onconn/internal/cli"
)

// whichHelp says how commands find the onconn they are about.
const whichHelp = `The onconn is the one that this user runs. Where there are several, name one by
its pid or by a port that it listens on; one that was started with --control
PATH is found by the same.`

// addControl is the flag of commands that ask a running onconn.
func addControl(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "control", "", "path of its control socket, where it was started with --control PATH")
	cmd.ValidArgsFunction = completeRunning
}

// find is the running onconn: that at path, or that of which (a pid or :port), or
// the only one.
func find(ctx context.Context, path, which string) (*control.Client, error) {
	if path != "" && which != "" {
		return nil, cli.Usage(fmt.Errorf("--control %s and %s: one of them is enough", path, which))
	}
	if path != "" {
		return control.Dial(path)
	}
	wanted, err := parseWhich(which)
	if err != nil {
		return nil, cli.Usage(err)
	}
	all := control.Running()
	var found []*control.Client
	for _, c := range all {
		if wanted(ctx, c) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("several onconn run: name one by its pid or port\n%s", listed(ctx, found))
	case len(all) > 0:
		return nil, fmt.Errorf("no onconn %s: these run\n%s", would(which), listed(ctx, all))
	}
	return nil, fmt.Errorf("no onconn of this user runs: none has a control socket in %s; --control PATH is for one that has it elsewhere", control.Directories())
}

// parseWhich reads a pid, or a port as :8000.
func parseWhich(which string) (func(context.Context, *control.Client) bool, error) {
	if which == "" {
		return func(context.Context, *control.Client) bool { return true }, nil
	}
	if pid, err := strconv.Atoi(which); err == nil && pid > 0 {
		return func(_ context.Context, c *control.Client) bool { return c.PID() == pid }, nil
	}
	if port, ok := strings.CutPrefix(which, ":"); ok && checkPort(port) == nil {
		n, _ := net.LookupPort("tcp", port) // checked
		return func(ctx context.Context, c *control.Client) bool {
			s, err := c.Status(ctx)
			return err == nil && listensOn(s, strconv.Itoa(n))
		}, nil
	}
	return nil, fmt.Errorf("%q is no pid and no port like :8000", which)
}

// would is what an onconn would be or do that parseWhich wants.
func would(which string) string {
	if strings.HasPrefix(which, ":") {
		return "listens on " + which
	}
	return "has pid " + which
}

func listensOn(s cluster.Status, port string) bool {
	for _, l := range s.Listeners {
		if _, p, err := net.SplitHostPort(l.Address); err == nil && p == port {
			return true
		}
	}
	return false
}

// listed is a line for each, with what tells them apart.
func listed(ctx context.Context, clients []*control.Client) string {
	var lines []string
	for _, c := range clients {
		lines = append(lines, fmt.Sprintf("  %d  %s", c.PID(), about(ctx, c)))
	}
	return strings.Join(lines, "\n")
}

// about says what an onconn is, in a few words.
func about(ctx context.Context, c *control.Client) string {
	s, err := c.Status(ctx)
	if err != nil {
		return err.Error()
	}
	var addresses []string
	for _, l := range s.Listeners {
		addresses = append(addresses, l.Address)
	}
	return strings.Join(append(addresses, s.Program), "  ")
}

// completeRunning offers the pids and ports of those that run.
func completeRunning(cmd *cobra.Command, args []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
	if want := map[bool]int{true: 1}[cmd.Name() == "scale"]; len(args) != want { // the number comes first
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, c := range control.Running() {
		s, err := c.Status(cmd.Context())
		if err != nil {
			continue
		}
		words = append(words, cobra.CompletionWithDesc(strconv.Itoa(c.PID()), s.Program))
		for _, l := range s.Listeners {
			if _, port, err := net.SplitHostPort(l.Address); err == nil {
				words = append(words, cobra.CompletionWithDesc(":"+port, fmt.Sprint("pid ", c.PID())))
			}
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// atMost refuses more words than a command takes.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return cli.Usage(fmt.Errorf("unexpected %q", args[n]))
		}
		return nil
	}
}

// word is the i-th of args, or empty.
func word(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
