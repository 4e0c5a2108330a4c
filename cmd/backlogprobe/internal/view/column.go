package view

import (
	"fmt"
	"strings"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// A column is one of the table. The first four are those of ss -ltn.
type column struct {
	field  string // for -o
	header string
	right  bool // aligned
	value  func(*survey.Row, *Options) string
}

var columns = []column{
	{"state", "State", false, func(*survey.Row, *Options) string { return "LISTEN" }},
	{"recv-q", "Recv-Q", true, func(r *survey.Row, _ *Options) string { return fmt.Sprint(r.Worst().Depth) }},
	{"send-q", "Send-Q", true, func(r *survey.Row, _ *Options) string { return fmt.Sprint(r.Worst().Limit) }},
	{"local", "Local Address:Port", false, func(r *survey.Row, _ *Options) string { return terminal.Clean(r.Local) }},
	{"peak", "Peak", true, func(r *survey.Row, _ *Options) string { return fmt.Sprint(r.Peak) }},
	{"full", "Full", true, func(r *survey.Row, _ *Options) string { return words.Percent(fill(r)) }},
	{"drops", "Drops", true, func(r *survey.Row, _ *Options) string { return fmt.Sprint(r.Drops) }},
	{"synq", "SynQ", true, func(r *survey.Row, _ *Options) string { return fmt.Sprint(r.HalfOpen) }},
	{"conn", "Conn/s", true, func(r *survey.Row, _ *Options) string { return rate(r.Accepts) }},
	{"wait", "Wait", true, wait},
	{"netns", "Netns", false, func(r *survey.Row, _ *Options) string { return terminal.Clean(r.Netns) }},
	{"arrivals", "Arr/s", true, func(r *survey.Row, _ *Options) string { return rate(r.Arrivals) }},
	{"dropped", "Drops+", true, func(r *survey.Row, _ *Options) string { return fmt.Sprint(r.Dropped) }},
	{"hurt", "Hurt", true, hurt},
	{"stall", "Stall", true, func(r *survey.Row, _ *Options) string { return words.Duration(r.Stall) }},
	{"proto", "Proto", false, func(r *survey.Row, _ *Options) string { return r.Proto }},
	{"unit", "Unit", false, unit},
	{"process", "Process", false, func(r *survey.Row, o *Options) string {
		if o.SS {
			return ssProcesses(r)
		}
		return Processes(r, o.Style, !o.narrow)
	}},
}

// usual are the columns without -o, and less those that are left out first where
// the terminal is narrow.
var (
	usual = []string{"state", "recv-q", "send-q", "local", "peak", "full", "drops", "synq", "conn", "wait", "netns", "process"}
	less  = []string{"synq", "wait", "netns", "conn", "full", "peak"}
)

// Fields are the names of all columns.
func Fields() []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.field)
	}
	return names
}

// choose finds the columns of some names.
func choose(names []string) ([]column, error) {
	var chosen []column
	for _, name := range names {
		found := false
		for _, c := range columns {
			if c.field == strings.TrimSpace(name) {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("unknown field %q: the fields are %s", name, strings.Join(Fields(), ","))
		}
	}
	return chosen, nil
}

// CheckFields reports a name that no column has.
func CheckFields(names []string) error {
	_, err := choose(names)
	return err
}

// fill is how far the queue was filled at its peak.
func fill(r *survey.Row) float64 {
	return min(float64(r.Peak)/float64(max(r.Worst().Capacity, 1)), 1) // two CPUs may each add the last one
}

func rate(perSecond *float64) string {
	if perSecond == nil {
		return "-"
	}
	return words.Rate(*perSecond)
}

// wait is how long the oldest connection has been in the queue.
func wait(r *survey.Row, _ *Options) string {
	if r.OldestWait == nil {
		return "-"
	}
	return words.Duration(*r.OldestWait)
}

func hurt(r *survey.Row, o *Options) string {
	switch {
	case r.Hurt == nil:
		return "-"
	case r.Hurt.How == "estimated" && r.Hurt.Clients > 0:
		return fmt.Sprintf("~%d", r.Hurt.Clients)
	}
	return fmt.Sprint(r.Hurt.Clients)
}

func unit(r *survey.Row, _ *Options) string {
	for _, o := range r.Owners {
		switch {
		case o.Unit != "":
			return terminal.Clean(o.Unit)
		case o.Container != "":
			return o.Container
		}
	}
	return "-"
}
