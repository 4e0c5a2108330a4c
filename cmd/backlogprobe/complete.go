package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/cmd/backlogprobe/internal/view"
	"onconn/internal/terminal"
)

// completeFilter offers the ports that something listens on now.
func completeFilter(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	s, err := commonFlags(cmd).survey(survey.Options{Owners: true, Sum: true, Once: true})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.Close()
	r, err := s.Look(context.Background(), 0)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ports []cobra.Completion
	seen := map[int]bool{}
	for _, row := range r.Listeners {
		if !seen[row.Port] {
			seen[row.Port] = true
			ports = append(ports, cobra.CompletionWithDesc(fmt.Sprintf(":%d", row.Port), view.Processes(&row, terminal.Style{ASCII: true}, false)))
		}
	}
	return ports, cobra.ShellCompDirectiveNoFileComp
}

// completeFirst offers ports for the first word only.
func completeFirst(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeFilter(cmd, args, word)
}
