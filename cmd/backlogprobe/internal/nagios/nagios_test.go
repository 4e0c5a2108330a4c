package nagios

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"onconn/cmd/backlogprobe/internal/survey"
)

func report(rows ...survey.Row) *survey.Report {
	return &survey.Report{Sampled: time.Second, Listeners: rows, Namespaces: []survey.Namespace{{Name: "host"}}, UnknownWhy: map[string]string{}}
}

func row(local string, port, peak, limit int) survey.Row {
	return survey.Row{Netns: "host", Local: local, Port: port, Peak: peak, Limit: limit, Capacity: limit + 1}
}

func TestCheck(t *testing.T) {
	full := row("0.0.0.0:8080", 8080, 512, 511)
	full.Depth, full.Drops, full.Dropped, full.Hurt = 512, 3378, 88, &survey.Hurt{Clients: 38, How: "estimated"}
	hidden := report(row("*:443", 443, 0, 4096))
	hidden.UnknownWhy["owners"] = "1 owner hidden"
	usual := Thresholds{WarnFill: 80, CritFill: 100, MaxDrops: -1, MaxHurt: -1}
	with := func(change func(*Thresholds)) Thresholds {
		t := usual
		change(&t)
		return t
	}
	for _, tt := range []struct {
		name   string
		report *survey.Report
		limits Thresholds
		filter string
		strict bool
		code   Code
		line   string
	}{
		{"ok", report(row("*:443", 443, 61, 4096), row("[::1]:5432", 5432, 3, 4)), usual, "", false, OK,
			"BACKLOG OK - 2 listeners, fullest [::1]:5432 peak 3/5 (60%) | 'q:443'=61;3278;4097;0;4097 'drops:443'=0c 'q:5432'=3;4;5;0;5 'drops:5432'=0c"},
		{"warning", report(row("*:443", 443, 410, 511)), usual, "", false, Warning, "BACKLOG WARNING - *:443 peak 410/512 (80%) | "},
		{"critical", report(full), usual, ":8080", false, Critical, "BACKLOG CRITICAL - 0.0.0.0:8080 full 512/512 (100%) | 'q:8080'=512;410;512;0;512 'drops:8080'=3378c"},
		{"critical above warning", report(full, row("*:443", 443, 410, 511)), usual, "", false, Critical, "BACKLOG CRITICAL - 0.0.0.0:8080 full"},
		{"drops", report(full), with(func(t *Thresholds) { t.CritFill, t.WarnFill, t.MaxDrops = 200, 200, 87 }), "", false, Critical, "BACKLOG CRITICAL - 0.0.0.0:8080 refused 88 packets in 1.0s | "},
		{"drops allowed", report(full), with(func(t *Thresholds) { t.CritFill, t.WarnFill, t.MaxDrops = 200, 200, 88 }), "", false, OK, "BACKLOG OK"},
		{"hurt", report(full), with(func(t *Thresholds) { t.CritFill, t.WarnFill, t.MaxHurt = 200, 200, 0 }), "", false, Critical, "BACKLOG CRITICAL - about 38 clients of 0.0.0.0:8080 outside | "},
		{"limit", report(row("*:443", 443, 0, 511)), with(func(t *Thresholds) { t.MinLimit = 1024 }), "", false, Critical, "BACKLOG CRITICAL - *:443 has a backlog of 511, less than 1024 | "},
		{"none", report(), usual, ":8080", false, Critical, "BACKLOG CRITICAL - nothing listens on :8080"},
		{"none at all", report(), usual, "", false, Unknown, "BACKLOG UNKNOWN - nothing listens here"},
		{"hidden", hidden, usual, "", false, OK, "BACKLOG OK"},
		{"hidden, strict", hidden, usual, "", true, Unknown, "BACKLOG UNKNOWN - 1 owner hidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Check(tt.report, tt.limits, parse(t, tt.filter), tt.strict)
			text := r.Text(true)
			if r.Code != tt.code || !strings.HasPrefix(text, tt.line) {
				t.Errorf("%v: %s\nwant %s", r.Code, text, tt.line)
			}
			if r.Code == OK && strings.Count(text, "\n") != 1 {
				t.Errorf("more than a line: %s", text)
			}
			b, err := json.Marshal(r)
			if err != nil || !strings.Contains(string(b), `"status":"`+strings.ToLower(tt.code.String())+`"`) {
				t.Errorf("%s %v", b, err)
			}
		})
	}
}

// A hidden process may be the one that a filter names.
func TestHiddenOwner(t *testing.T) {
	r := report()
	r.UnknownWhy["owners"] = "1 owner hidden"
	for _, filter := range []string{"comm=node", "node", "pid=12"} {
		if got := Check(r, Thresholds{}, parse(t, filter), false).Code; got != Unknown {
			t.Errorf("%s: %v", filter, got)
		}
		if got := Check(report(), Thresholds{}, parse(t, filter), false).Code; got != Critical {
			t.Errorf("%s, nothing hidden: %v", filter, got)
		}
	}
	if got := Check(r, Thresholds{}, parse(t, ":80"), false).Code; got != Critical {
		t.Errorf(":80: %v", got)
	}
	r.UnknownWhy["namespaces"] = "network namespaces of 3 processes hidden"
	if got := Check(r, Thresholds{}, parse(t, ":80"), false).Code; got != Unknown {
		t.Errorf(":80, in hidden namespaces: %v", got)
	}
}

// The performance data keeps its form whatever a path is called.
func TestLabel(t *testing.T) {
	r := Check(report(row("/run/a|b='c'\n", 0, 0, 4), row("/run/d", 0, 0, 4)), Thresholds{WarnFill: 80, CritFill: 100, MaxDrops: -1, MaxHurt: -1}, survey.Filter{}, false)
	if alone := Check(report(row("/run/d", 0, 0, 4)), Thresholds{WarnFill: 80, CritFill: 100}, survey.Filter{}, false).Text(false); !strings.Contains(alone, "'q_/run/d'=") {
		t.Error(alone)
	}
	want := "'q_/run/a/b__c_ '=0;4;5;0;5 'drops_/run/a/b__c_ '=0c 'q_/run/d'=0;4;5;0;5 'drops_/run/d'=0c\n"
	if _, data, _ := strings.Cut(r.Text(true), " | "); data != want {
		t.Errorf("%q, want %q", data, want)
	}
}

func TestDetails(t *testing.T) {
	full := row("0.0.0.0:8080", 8080, 512, 511)
	full.Depth = 512
	r := report(full, row("*:443", 443, 0, 4096))
	r.Findings = []survey.Finding{
		{Netns: "host", Local: "0.0.0.0:8080", Lines: []string{"Full."}, Try: []string{"backlogprobe set :8080 4096"}},
		{Netns: "host", Local: "*:443", Lines: []string{"Fine."}},
	}
	result := Check(r, Thresholds{WarnFill: 80, CritFill: 100, MaxDrops: -1, MaxHurt: -1}, survey.Filter{}, false)
	_, details, _ := strings.Cut(result.Text(true), "\n")
	if want := "0.0.0.0:8080 Full.\n  try: backlogprobe set :8080 4096\n"; details != want {
		t.Errorf("%q, want %q", details, want)
	}
	if strings.Count(result.Text(false), "\n") != 1 {
		t.Errorf("quiet: %q", result.Text(false))
	}
}

func parse(t *testing.T, filter string) survey.Filter {
	t.Helper()
	f, err := survey.ParseFilter(strings.Fields(filter))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
