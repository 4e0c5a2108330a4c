package view

import (
	"fmt"
	"slices"
	"strings"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

// Processes names the owners of a row: "node[27605] fd=21", or for several
// "nginx[812..815] ×4"; "-" if they are hidden. Without fds it is shorter.
func Processes(row *survey.Row, s terminal.Style, fds bool) string {
	text := "-"
	if len(row.Owners) == 1 && len(row.Members) == 0 {
		o := row.Owners[0]
		text = fmt.Sprintf("%s[%d]", terminal.Clean(o.Command), o.PID)
		if fds {
			text += fmt.Sprintf(" fd=%d", o.FD)
		}
	} else if len(row.Owners) > 0 {
		text = strings.Join(commands(row.Owners), " ")
		if n := len(row.Owners); n > 1 {
			text += fmt.Sprintf(" %s%d", times(s), n)
		}
	}
	if n := len(row.Members); n > 0 {
		text += fmt.Sprintf(", %d sockets", n)
	}
	return text
}

func times(s terminal.Style) string {
	if s.ASCII {
		return "x"
	}
	return "×"
}

// commands groups processes by their names, with the ranges of their numbers.
func commands(owners []survey.Owner) (all []string) {
	var names []string
	pids := map[string][]int{}
	for _, o := range owners {
		name := terminal.Clean(o.Command)
		if pids[name] == nil {
			names = append(names, name)
		}
		pids[name] = append(pids[name], o.PID)
	}
	for _, name := range names {
		all = append(all, fmt.Sprintf("%s[%s]", name, ranges(pids[name])))
	}
	return all
}

// ranges is "812..815,901".
func ranges(pids []int) string {
	slices.Sort(pids)
	var parts []string
	for i := 0; i < len(pids); {
		end := i
		for end+1 < len(pids) && pids[end+1] == pids[end]+1 {
			end++
		}
		switch {
		case end == i:
			parts = append(parts, fmt.Sprint(pids[i]))
		case end == i+1:
			parts = append(parts, fmt.Sprintf("%d,%d", pids[i], pids[end]))
		default:
			parts = append(parts, fmt.Sprintf("%d..%d", pids[i], pids[end]))
		}
		i = end + 1
	}
	return strings.Join(parts, ",")
}

// ssProcesses is the form of ss(8): users:(("node",pid=27605,fd=21)).
func ssProcesses(row *survey.Row) string {
	var parts []string
	for _, o := range row.Owners {
		parts = append(parts, fmt.Sprintf(`("%s",pid=%d,fd=%d)`, terminal.Clean(o.Command), o.PID, o.FD))
	}
	if parts == nil {
		return "-"
	}
	return "users:(" + strings.Join(parts, ",") + ")"
}
