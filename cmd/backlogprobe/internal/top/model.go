package top

import (
	"cmp"
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

// A lookMsg is a report, or why there is none.
type lookMsg struct {
	report *survey.Report
	err    error
}

// A noteMsg is what an action has to say.
type noteMsg string

// A model is all that the screen depends on.
type model struct {
	style         terminal.Style
	width, height int
	given         string // the filter of the command line
	reset         func()

	report *survey.Report
	held   *survey.Report // came while paused
	err    error          // of the last look
	rows   []survey.Row   // of report, filtered and sorted

	selected  key
	chosen    bool // by the user; else it is the first row
	detail    bool
	help      bool
	paused    bool
	dropsOnly bool
	order     order
	filter    filter
	typing    bool
	typed     string
	note      string
}

// A key tells a listener from others from one report to the next.
type key struct {
	netns, proto, local string
	inode               uint32
}

func keyOf(r survey.Row) key { return key{r.Netns, r.Proto, r.Local, r.Inode} }

func newModel(s terminal.Style, filter string, reset func()) model {
	return model{style: s, width: s.Width, height: 24, given: filter, reset: reset}
}

// Init is of tea.Model.
func (m model) Init() tea.Cmd { return nil }

// show takes over a report. With a filter that selects one listener, the first
// report goes straight to it.
func (m model) show(r *survey.Report) model {
	first := m.report == nil
	m.report = r
	m = m.arrange()
	if first && m.given != "" && len(m.rows) == 1 {
		m.detail = true
	}
	return m
}

// arrange selects and sorts the rows of the report.
func (m model) arrange() model {
	if m.report == nil {
		return m
	}
	m.rows = nil
	for _, r := range m.report.Listeners {
		if (!m.dropsOnly || r.Drops > 0) && m.filter.match(r) {
			m.rows = append(m.rows, r)
		}
	}
	slices.SortStableFunc(m.rows, m.order.compare(m.report.Findings))
	if _, ok := m.row(); (!ok || !m.chosen) && !m.detail && len(m.rows) > 0 {
		m.selected = keyOf(m.rows[0])
	}
	return m
}

// row is the selected row, if it is there.
func (m model) row() (survey.Row, bool) {
	if i := m.index(); i >= 0 {
		return m.rows[i], true
	}
	return survey.Row{}, false
}

func (m model) index() int {
	return slices.IndexFunc(m.rows, func(r survey.Row) bool { return keyOf(r) == m.selected })
}

// move selects another row, some further down.
func (m model) move(by int) model {
	if len(m.rows) > 0 {
		m.chosen = true
		m.selected = keyOf(m.rows[min(max(m.index()+by, 0), len(m.rows)-1)])
	}
	return m
}

// An order of rows.
type order int

const (
	byWorst order = iota
	byQueue
	byDrops
	byPort
	orders
)

func (o order) String() string {
	return [...]string{"worst", "queue", "drops", "port"}[o]
}

func (o order) compare(findings []survey.Finding) func(a, b survey.Row) int {
	port := func(a, b survey.Row) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Local, b.Local), cmp.Compare(a.Netns, b.Netns))
	}
	queue := func(a, b survey.Row) int {
		return cmp.Or(-cmp.Compare(fill(a.Worst().Depth, a), fill(b.Worst().Depth, b)), -cmp.Compare(fill(a.Peak, a), fill(b.Peak, b)))
	}
	drops := func(a, b survey.Row) int {
		return cmp.Or(-cmp.Compare(a.Dropped, b.Dropped), -cmp.Compare(a.Drops, b.Drops))
	}
	switch o {
	case byQueue:
		return func(a, b survey.Row) int { return cmp.Or(queue(a, b), port(a, b)) }
	case byDrops:
		return func(a, b survey.Row) int { return cmp.Or(drops(a, b), port(a, b)) }
	case byPort:
		return port
	}
	return func(a, b survey.Row) int {
		switch sa, sb := worst(findings, a), worst(findings, b); {
		case sa.Worse(sb):
			return -1
		case sb.Worse(sa):
			return 1
		}
		return cmp.Or(queue(a, b), drops(a, b), port(a, b))
	}
}

// of are the findings about a row.
func of(findings []survey.Finding, r survey.Row) (about []survey.Finding) {
	for _, f := range findings {
		if f.Local == r.Local && f.Netns == r.Netns {
			about = append(about, f)
		}
	}
	return about
}

func worst(findings []survey.Finding, r survey.Row) survey.Severity {
	state := survey.OK
	for _, f := range of(findings, r) {
		if f.Severity.Worse(state) {
			state = f.Severity
		}
	}
	return state
}

// owner is a process as it is written everywhere.
func owner(o survey.Owner) string { return fmt.Sprintf("%s[%d]", o.Command, o.PID) }
