package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// rootHelp fits on a screen, which a list of all flags wouldn't.
const rootHelp = `backlogprobe tells which accept queue is full, who suffers, and what to do.

  backlogprobe [FILTER] [INTERVAL [COUNT]]   look at the listeners for a second

  top      the same, live              probe    measure what a queue holds
  check    for monitoring and CI       explain  packets, counters and settings
  advise   which backlog is needed     export   metrics for Prometheus
  set      change a running backlog    completion  for bash, zsh, fish

A filter:  :443   127.0.0.1:80   /run/x.sock   pid=12   comm=node   unit=nginx
           or of ss:  sport = :443   src 10.0.0.0/8
Examples:  backlogprobe                  all listeners
           backlogprobe :8080 -v         all that is known of one
           backlogprobe comm=nginx 5     again every 5 seconds

 -a quiet ones too   -v details   -x unix too   -4 -6   -H no header   -w SEC
 -o local,drops,...   --sample 1s   --per-socket   --ss   -q no advice   -j JSON
 -N NETNS   --all-netns   --color auto|always|never   --ascii   --version
Queues and drops need no privilege; names of others' processes need root.
More: backlogprobe list --help, and COMMAND --help.
`

// usageTemplate names the common flags in two lines.
const usageTemplate = `Usage:
  {{.UseLine}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
Common: -j --json, -N --netns NAME|PATH|PID, --all-netns, -q --quiet,
        --color auto|always|never, --ascii
`

func addHelp(root *cobra.Command) {
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(`{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}`)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		cmd.Flags().Lookup("help").Hidden = true // who reads this knows it
		if cmd == root {
			fmt.Fprint(cmd.OutOrStdout(), rootHelp)
			return
		}
		help(cmd, args)
	})
}
