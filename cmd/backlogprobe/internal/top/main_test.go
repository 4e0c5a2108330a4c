package top

import (
	"os"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"go.uber.org/goleak"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/golden"
	"onconn/internal/terminal"
)

// In a child, the test binary is top on its standard input and output.
func TestMain(m *testing.M) {
	if os.Getenv("TOP_TEST_CHILD") != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// start is when the reports of tests end.
var start = time.Date(2026, 11, 22, 14, 2, 31, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// made is a report of four listeners, of which one is full and one a group.
func made() *survey.Report {
	return &survey.Report{
		Schema: survey.Schema, Time: start, Sampled: time.Second, Interval: 10 * time.Millisecond,
		Namespaces: []survey.Namespace{{
			Name: "host", Sysctls: backlog.Sysctls{Somaxconn: 4096},
			Counters: backlog.Counters{"TcpExtListenDrops": 3400}, Delta: backlog.Counters{"TcpExtListenDrops": 38},
		}},
		Listeners: []survey.Row{quiet(), full8080(), group443(), python()},
		Findings: []survey.Finding{
			{Severity: survey.Critical, Netns: "host", Local: "0.0.0.0:8080", Code: "full-now",
				Lines: []string{
					"Accept queue full now; 38 SYNs/s refused: ~38 clients, each retrying every second (worst: 7 s).",
					"node asked for 511 (its default); somaxconn (4096) is not the cap.",
				},
				Try: []string{"backlogprobe advise :8080"}},
			{Severity: survey.Warning, Netns: "host", Local: "*:443", Code: "uneven",
				Lines: []string{"4 sockets share the port: 39/31/24/6 % of connections."}},
			{Severity: survey.Unknown, Netns: "host", Local: "127.0.0.1:9000", Code: "hidden", Lines: []string{"Its owner is hidden."}},
		},
		UnknownWhy: map[string]string{"owners": "1 socket belongs to another user: run as root for its name"},
	}
}

func quiet() survey.Row {
	return survey.Row{Netns: "host", Proto: "tcp6", Local: "[::1]:5432", Port: 5432, Limit: 4096, Capacity: 4097, Peak: 1,
		Arrivals: ptr(0.1), Accepts: ptr(0.1), Owners: []survey.Owner{{PID: 640, Command: "postgres", FD: 6, Unit: "postgresql.service"}}, Inode: 5}
}

func full8080() survey.Row {
	r := survey.Row{
		Netns: "host", Proto: "tcp", Local: "0.0.0.0:8080", Port: 8080, Inode: 8,
		Depth: 512, Limit: 511, Capacity: 512, Peak: 512, Full: time.Minute, Fulls: 1, Drops: 3378, Dropped: 38, HalfOpen: 9,
		Arrivals: ptr(92.0), Accepts: ptr(54.5), OldestWait: ptr(9400 * time.Millisecond), Stall: 410 * time.Millisecond, BytesWaiting: 39936,
		Hurt: &survey.Hurt{Clients: 38, Longest: 7100 * time.Millisecond, How: "captured", Worst: []survey.Client{
			{Addr: "10.0.1.92:28585", Tries: 7, Waits: 7100 * time.Millisecond, Path: "SYN refused"},
			{Addr: "10.0.1.92:50500", Tries: 4, Waits: 4 * time.Second, Path: "SYN refused"},
			{Addr: "10.0.1.95:41002", Tries: 3, Waits: 6200 * time.Millisecond, Path: "final ACK refused"},
		}},
		GivenUp: 12, Waiters: []survey.Waiter{
			{Addr: "10.0.1.92:28000", Waits: 9400 * time.Millisecond, Bytes: 78, GivenUp: true},
			{Addr: "10.0.1.92:28002", Waits: 9380 * time.Millisecond, Bytes: 78},
		},
		Owners:      []survey.Owner{{PID: 27605, Command: "node", FD: 21, Unit: "web.service", Stopped: true, Accepts: ptr(54.5), Share: ptr(1.0)}},
		Observation: backlog.Observation{Since: start.Add(-time.Minute), Until: start},
	}
	for i := range 60 {
		s := backlog.Second{Start: start.Add(time.Duration(i-59)*time.Second - time.Second/2), Max: min(i*16, 512)}
		if i >= 32 && i%10 < 7 {
			s.Full, s.Dropped = 900*time.Millisecond, 38
		}
		r.Observation.History = append(r.Observation.History, s)
	}
	return r
}

func group443() survey.Row {
	r := survey.Row{
		Netns: "host", Proto: "tcp6", Local: "*:443", Port: 443,
		Limit: 16384, Capacity: 16388, Peak: 61, Arrivals: ptr(8123.0), Accepts: ptr(8123.0), HalfOpen: 12,
		Observation: backlog.Observation{Since: start.Add(-time.Minute), Until: start,
			History: []backlog.Second{{Start: start.Add(-1900 * time.Millisecond), Max: 61}, {Start: start.Add(-900 * time.Millisecond), Max: 3}}},
	}
	for i, share := range []float64{.39, .31, .24, .06} {
		r.Owners = append(r.Owners, survey.Owner{PID: 812 + i, Command: "nginx", FD: 6 + i, Unit: "nginx.service", Accepts: ptr(8123 * share), Share: &share})
		r.Members = append(r.Members, survey.Row{Inode: uint32(70 + i), Limit: 4096, Capacity: 4097, Peak: 61 / (i + 1)})
	}
	return r
}

func python() survey.Row {
	return survey.Row{Netns: "host", Proto: "tcp", Local: "127.0.0.1:9000", Port: 9000, Depth: 2, Limit: 5, Capacity: 6, Peak: 6, Drops: 42,
		OldestWait: ptr(400 * time.Millisecond), Inode: 9,
		Observation: backlog.Observation{Since: start.Add(-time.Minute), Until: start}, Full: 600 * time.Millisecond, Fulls: 3}
}

// shown is a model of 80x24 that has got the report.
func shown(r *survey.Report) model {
	m := newModel(terminal.Style{Width: 80}, "", func() {})
	return feed(m, lookMsg{report: r})
}

// feed updates the model, and follows what an action answers at once.
func feed(m model, msgs ...tea.Msg) model {
	for _, msg := range msgs {
		next, cmd := m.Update(msg)
		m = next.(model)
		if cmd != nil {
			if note, ok := cmd().(noteMsg); ok {
				m = feed(m, note)
			}
		}
	}
	return m
}

// press types keys: a name in <>, or the characters of a text.
func press(m model, keys ...string) model {
	named := map[string]tea.KeyPressMsg{
		"<enter>": {Code: tea.KeyEnter}, "<esc>": {Code: tea.KeyEscape}, "<up>": {Code: tea.KeyUp}, "<down>": {Code: tea.KeyDown},
		"<pgup>": {Code: tea.KeyPgUp}, "<pgdown>": {Code: tea.KeyPgDown}, "<space>": {Code: tea.KeySpace, Text: " "},
		"<backspace>": {Code: tea.KeyBackspace}, "<ctrl+u>": {Code: 'u', Mod: tea.ModCtrl},
	}
	for _, k := range keys {
		if msg, ok := named[k]; ok {
			m = feed(m, msg)
			continue
		}
		for _, r := range k {
			m = feed(m, tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
	return m
}

func screen(m model) string { return strings.Join(m.screen(), "\n") + "\n" }

func looks(t *testing.T, name string, m model) {
	t.Helper()
	golden.Check(t, name, screen(m))
	fits(t, name, m)
}

// fits checks that a screen has as many lines as the terminal, none too long.
func fits(t *testing.T, name string, m model) {
	t.Helper()
	lines := m.screen()
	if len(lines) > m.height {
		t.Errorf("%s: %d lines on a screen of %d", name, len(lines), m.height)
	}
	for i, l := range lines {
		if n := terminal.Cells(l); n > m.width {
			t.Errorf("%s: line %d has %d cells on a screen of %d: %q", name, i, n, m.width, l)
		}
	}
}
