package main

import (
	"encoding/json"
	"strings"
	"testing"

	"onconn/internal/netns"
	"onconn/internal/testleak"
)

func TestCheck(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	stalled(t, n, "127.0.0.1:8080", 5)
	stalled(t, n, "127.0.0.1:9090", 511)
	knock(t, n, 8080, 9)
	for _, tt := range []struct {
		args  []string
		code  int
		first string
	}{
		{[]string{":9090"}, 0, "BACKLOG OK - 1 listener, fullest 127.0.0.1:9090 peak 0/512 (0%) | 'q:9090'=0;410;512;0;512 'drops:9090'=0c\n"},
		{[]string{":8080"}, 2, "BACKLOG CRITICAL - 127.0.0.1:8080 full 6/6 (100%) | 'q:8080'=6;5;6;0;6 'drops:8080'="},
		{nil, 2, "BACKLOG CRITICAL - 127.0.0.1:8080 full"},
		{[]string{":8080", "--crit-fill", "101"}, 1, "BACKLOG WARNING - 127.0.0.1:8080 full"},
		{[]string{":9090", "--min-limit", "1024"}, 2, "BACKLOG CRITICAL - 127.0.0.1:9090 has a backlog of 511, less than 1024 |"},
		{[]string{":8080", "--crit-fill", "200", "--warn-fill", "200", "--max-drops", "0"}, 2, "BACKLOG CRITICAL - 127.0.0.1:8080 refused "},
		{[]string{":1"}, 2, "BACKLOG CRITICAL - nothing listens on :1\n"},
		{[]string{":9090", "--sample", "0"}, 0, "BACKLOG OK"},
		{[]string{":9090", "-N", "backlogprobe-test-none"}, 3, "BACKLOG UNKNOWN - no network namespace"},
	} {
		knock(t, n, 8080, 1) // tries again after 1, 2, 3 and 4 s
		r := run(t, n, append([]string{"check"}, tt.args...)...)
		if r.code != tt.code || !strings.HasPrefix(r.stdout, tt.first) || r.stderr != "" {
			t.Errorf("check %q: %+v", tt.args, r)
		}
		if tt.code == 0 && strings.Count(r.stdout, "\n") != 1 {
			t.Errorf("check %q prints more than a line: %s", tt.args, r.stdout)
		}
	}
	var v struct {
		Status string
		Exit   int `json:"exit_code"`
		Report struct{ Listeners []struct{ Drops int } }
	}
	r := run(t, n, "check", ":8080", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || v.Status != "critical" || v.Exit != 2 || r.code != 2 || v.Report.Listeners[0].Drops == 0 {
		t.Errorf("%v %+v %+v", err, v, r)
	}
}
