package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/cmd/backlogprobe/internal/view"
	"onconn/internal/terminal"
)

// one finds the listener, or the SO_REUSEPORT group, that a filter means. It is
// an error if there are several.
func (c common) one(words []string) (*survey.Report, *survey.Row, error) {
	chosen, err := parseFilter(words)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.survey(survey.Options{Filter: chosen, Owners: true, Sum: true, Once: true})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	r, err := s.Look(context.Background(), 0)
	if err != nil {
		return nil, nil, err
	}
	switch len(r.Listeners) {
	case 0:
		return nil, nil, errors.New(nothing(chosen, r))
	case 1:
		return r, &r.Listeners[0], nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s means %d listeners; choose one of them:", chosen, len(r.Listeners))
	for i := range r.Listeners {
		row := &r.Listeners[i]
		fmt.Fprintf(&b, "\n  %s %s", terminal.Pad(row.Local, 24), view.Processes(row, terminal.Style{ASCII: true}, true))
		if len(r.Namespaces) > 1 {
			fmt.Fprintf(&b, "  -N %s", row.Netns)
		}
	}
	return nil, nil, usage(b.String())
}

// sockets are those of a row: its members, or itself.
func sockets(row *survey.Row) []survey.Row {
	if row.Members != nil {
		return row.Members
	}
	return []survey.Row{*row}
}

// namespaceOf opens the network namespace of a row.
func namespaceOf(row *survey.Row) (*backlog.Namespace, error) {
	return backlog.OpenNamespace(survey.NetnsPath(row.Netns))
}
