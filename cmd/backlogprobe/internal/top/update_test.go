package top

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

func locals(m model) (all []string) {
	for _, r := range m.rows {
		all = append(all, r.Local)
	}
	return all
}

func wantLocals(t *testing.T, m model, want ...string) {
	t.Helper()
	if got := locals(m); !slices.Equal(got, want) {
		t.Errorf("the rows are %q, want %q", got, want)
	}
}

func TestSort(t *testing.T) {
	m := shown(made())
	for _, want := range [][]string{
		{"0.0.0.0:8080", "*:443", "127.0.0.1:9000", "[::1]:5432"}, // worst: critical, warning, unknown, ok
		{"0.0.0.0:8080", "127.0.0.1:9000", "*:443", "[::1]:5432"}, // queue: by fill, then peak
		{"0.0.0.0:8080", "127.0.0.1:9000", "*:443", "[::1]:5432"}, // drops
		{"*:443", "[::1]:5432", "0.0.0.0:8080", "127.0.0.1:9000"}, // port
		{"0.0.0.0:8080", "*:443", "127.0.0.1:9000", "[::1]:5432"}, // and again
	} {
		wantLocals(t, m, want...)
		m = press(m, "s")
	}
}

// The selection stays with its listener when the order changes, and is moved by
// keys within the rows.
func TestSelection(t *testing.T) {
	m := press(shown(made()), "j")
	selected := func(want string) {
		t.Helper()
		if r, _ := m.row(); r.Local != want {
			t.Errorf("%q is selected, want %q", r.Local, want)
		}
	}
	selected("*:443")
	m = press(m, "sss") // by port: now the first
	selected("*:443")
	m = press(m, "<up>")
	selected("*:443")
	m = press(m, "<down>")
	selected("[::1]:5432")
	m = press(m, "<pgdown>")
	selected("127.0.0.1:9000")
	m = press(m, "<pgup>")
	selected("*:443")
	m = press(m, "G")
	selected("127.0.0.1:9000")
	gone := made()
	gone.Listeners = gone.Listeners[:2]
	m = feed(m, lookMsg{report: gone})
	selected("[::1]:5432") // what was selected has gone: the first one
}

// Until the user has chosen one, the first row is selected, whichever it is.
func TestFirstIsSelected(t *testing.T) {
	later := made()
	later.Findings[0].Severity = survey.OK
	m := feed(shown(made()), lookMsg{report: later})
	if r, _ := m.row(); r.Local != "*:443" {
		t.Errorf("%q is selected", r.Local)
	}
	m = press(m, "<enter>", "<esc>")
	if r, _ := feed(m, lookMsg{report: made()}).row(); r.Local != "*:443" {
		t.Errorf("it was looked at in detail, but now %q is selected", r.Local)
	}
}

// With more listeners than lines the selected one is always seen.
func TestScroll(t *testing.T) {
	r := &survey.Report{Time: start}
	for port := 1; port <= 100; port++ {
		row := quiet()
		row.Port, row.Inode = port, uint32(port)
		r.Listeners = append(r.Listeners, row)
	}
	m := shown(r)
	for range 120 {
		if !strings.Contains(screen(m), "\n>") {
			t.Fatalf("the selected row isn't on the screen:\n%s", screen(m))
		}
		m = press(m, "j")
	}
	m = press(m, "<enter>", "k")
	if r, _ := m.row(); r.Port != 99 || !m.detail {
		t.Errorf("k in the details goes to port %d, in details: %v", r.Port, m.detail)
	}
}

func TestDropsOnly(t *testing.T) {
	m := press(shown(made()), "d")
	wantLocals(t, m, "0.0.0.0:8080", "127.0.0.1:9000")
	if !strings.Contains(screen(m), "2 of 4 listeners; only those with drops") {
		t.Errorf("the screen doesn't say that rows are hidden:\n%s", screen(m))
	}
	wantLocals(t, press(m, "d"), "0.0.0.0:8080", "*:443", "127.0.0.1:9000", "[::1]:5432")
}

func TestFilter(t *testing.T) {
	m := press(shown(made()), "/", "NOxE")
	if len(m.rows) != 4 || !strings.Contains(screen(m), "filter: NOxE_") {
		t.Errorf("typing alone filters, or isn't shown:\n%s", screen(m))
	}
	m = press(m, "<backspace>", "<backspace>", "DE", "<enter>")
	wantLocals(t, m, "0.0.0.0:8080") // any part of the name, in any case
	if !strings.Contains(screen(m), "1 of 4 listeners; filter NODE") {
		t.Errorf("the screen doesn't say that rows are hidden:\n%s", screen(m))
	}
	m = press(m, "/", "qqq", "<esc>")
	wantLocals(t, m, "0.0.0.0:8080") // Esc leaves the filter as it was
	m = press(m, "/", "<ctrl+u>", "web.serv", "<enter>")
	wantLocals(t, m, "0.0.0.0:8080")
	m = press(m, "/", "<ctrl+u>", "nosuchthing", "<enter>")
	wantLocals(t, m)
	if !strings.Contains(screen(m), "no listener is like that") {
		t.Errorf("an empty table doesn't say why:\n%s", screen(m))
	}
	m = press(m, "<enter>") // nothing to see in detail
	if m.detail {
		t.Error("the details of nothing")
	}
	m = press(m, "/", "<ctrl+u>", "<enter>")
	wantLocals(t, m, "0.0.0.0:8080", "*:443", "127.0.0.1:9000", "[::1]:5432")
}

// A filter on the command line that selects one listener goes straight to it.
func TestGivenFilter(t *testing.T) {
	one := made()
	one.Listeners = one.Listeners[1:2]
	m := feed(newModel(terminal.Style{Width: 80}, ":8080", nil), lookMsg{report: one})
	if !m.detail {
		t.Error("it shows the table")
	}
	m = feed(press(m, "<esc>"), lookMsg{report: one})
	if m.detail {
		t.Error("Esc doesn't stay in the table")
	}
	if m := feed(newModel(terminal.Style{Width: 80}, "comm=n", nil), lookMsg{report: made()}); m.detail {
		t.Error("of several listeners it shows one")
	}
}

func TestPause(t *testing.T) {
	m := press(shown(made()), "<space>")
	later := made()
	later.Time = start.Add(time.Second)
	later.Listeners[1].Depth = 77
	m = feed(m, lookMsg{report: later})
	if s := screen(m); !strings.Contains(s, "PAUSED") || !strings.Contains(s, "14:02:31") || strings.Contains(s, " 77 ") {
		t.Errorf("it isn't held:\n%s", s)
	}
	m = press(m, "<space>")
	if s := screen(m); strings.Contains(s, "PAUSED") || !strings.Contains(s, "14:02:32") || !strings.Contains(s, " 77 ") {
		t.Errorf("it doesn't go on with what came:\n%s", s)
	}
}

// An error is shown until a look succeeds, above what was seen last.
func TestError(t *testing.T) {
	m := feed(shown(made()), lookMsg{err: errors.New("netlink: no buffer space")})
	if s := screen(m); !strings.Contains(s, "no buffer space") || !strings.Contains(s, "0.0.0.0:8080") {
		t.Errorf("the error or the last report is missing:\n%s", s)
	}
	if s := screen(feed(m, lookMsg{report: made()})); strings.Contains(s, "no buffer space") {
		t.Errorf("the error stays:\n%s", s)
	}
	m = feed(newModel(terminal.Style{Width: 80}, "", nil), lookMsg{err: errors.New("netlink: no buffer space")})
	if s := screen(m); !strings.Contains(s, "no buffer space") {
		t.Errorf("an error of the first look is missing:\n%s", s)
	}
	press(m, "jk<>sd/x", "<enter>", "<esc>", "w", "<pgdown>") // with nothing to show, nothing panics
}

// A listener that goes while it is looked at is said to be gone.
func TestGone(t *testing.T) {
	m := press(shown(made()), "<enter>")
	gone := made()
	gone.Listeners = gone.Listeners[2:]
	m = feed(m, lookMsg{report: gone})
	if s := screen(m); !strings.Contains(s, "0.0.0.0:8080 no longer listens") {
		t.Errorf("the screen is\n%s", s)
	}
	m = feed(m, lookMsg{report: made()})
	if s := screen(m); !strings.Contains(s, "accept queue 512/512") {
		t.Errorf("it came back, but the screen is\n%s", s)
	}
}

func TestReset(t *testing.T) {
	resets := 0
	m := shown(made())
	m.reset = func() { resets++ }
	m = press(m, "r")
	if resets != 1 || !strings.Contains(screen(m), "peaks") {
		t.Errorf("%d resets:\n%s", resets, screen(m))
	}
}

func TestSnapshot(t *testing.T) {
	t.Chdir(t.TempDir())
	m := press(shown(made()), "w")
	const name = "backlogprobe-20261122-140231.json"
	if !strings.Contains(screen(m), "written: "+name) {
		t.Errorf("it doesn't say where:\n%s", screen(m))
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var r survey.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Schema != survey.Schema || len(r.Listeners) != 4 || r.Listeners[1].Depth != 512 {
		t.Errorf("it wrote %s", b)
	}
	if m = press(m, "w"); !strings.Contains(screen(m), "not written") {
		t.Errorf("it wrote over a file:\n%s", screen(m))
	}
	if files, _ := filepath.Glob("*"); len(files) != 1 {
		t.Errorf("the files are %q", files)
	}
}

func TestQuit(t *testing.T) {
	for _, m := range []model{shown(made()), press(shown(made()), "/"), press(shown(made()), "h"), newModel(terminal.Style{Width: 80}, "", nil)} {
		_, cmd := m.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
		if cmd == nil {
			t.Fatal("Ctrl-C does nothing")
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("Ctrl-C doesn't quit")
		}
	}
	if m := press(shown(made()), "/", "q"); m.typed != "q" {
		t.Errorf("q in a filter is %q", m.typed)
	}
}
