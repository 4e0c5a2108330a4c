package export

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/golden"
)

// scrape is the text of one scrape, checked pedantically.
func scrape(t *testing.T, c *Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// value is what a series has in a scrape, and "" if it isn't there.
func value(text, series string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func want(t *testing.T, text string, values map[string]string) {
	t.Helper()
	for series, v := range values {
		if got := value(text, series); got != v {
			t.Errorf("%s is %q, want %q", series, got, v)
		}
	}
}

func TestAllMetrics(t *testing.T) {
	golden.Check(t, "folded.txt", scrape(t, New(&script{reports: []*survey.Report{report(full(), group())}}, false)))
	var rows []survey.Row
	rows = append(rows, full())
	rows = append(rows, group().Members...)
	golden.Check(t, "per-socket.txt", scrape(t, New(&script{reports: []*survey.Report{report(rows...)}}, true)))
}

func TestNamesPassTheLinter(t *testing.T) {
	for _, perSocket := range []bool{false, true} {
		text := scrape(t, New(&script{reports: []*survey.Report{report(full())}}, perSocket))
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// What the watcher counts since it began is added once.
func TestCountersAddUp(t *testing.T) {
	first, second, unknown, third := full(), full(), full(), full()
	second.Drops, second.Full = 3400, 1750*time.Millisecond
	second.Observation.Arrived, second.Observation.Accepted = 100, 60
	unknown.Observation.Arrived, unknown.Observation.Accepted = -1, -1
	third.Observation.Arrived, third.Observation.Accepted = 99, 61
	s := &script{reports: []*survey.Report{report(first), report(second), report(unknown), report(third)}}
	c := New(s, false)
	labels := `{local="0.0.0.0:8080",netns="host",proto="tcp"}`
	scrape(t, c)
	want(t, scrape(t, c), map[string]string{
		"backlog_listener_drops_total" + labels:            "3400",
		"backlog_accept_queue_full_seconds_total" + labels: "1.75",
		"backlog_arrivals_total" + labels:                  "100",
		"backlog_accepts_total" + labels:                   "60",
	})
	want(t, scrape(t, c), map[string]string{"backlog_arrivals_total" + labels: ""})
	want(t, scrape(t, c), map[string]string{
		"backlog_arrivals_total" + labels: "100", // a count may err by one for a moment; a counter never falls
		"backlog_accepts_total" + labels:  "61",
	})
}

// A socket that takes the place of another counts from its own start.
func TestNewSocketOnTheAddress(t *testing.T) {
	before, after := full(), full()
	after.Cookie, after.Drops, after.Full = 2, 7, time.Second
	after.Observation = backlog.Observation{Since: start.Add(time.Second), Arrived: 8, Accepted: 6}
	again := after // watched anew
	again.Observation.Since, again.Observation.Arrived, again.Full = start.Add(2*time.Second), 1, time.Second
	c := New(&script{reports: []*survey.Report{report(before), report(after), report(again)}}, false)
	scrape(t, c)
	labels := `{local="0.0.0.0:8080",netns="host",proto="tcp"}`
	want(t, scrape(t, c), map[string]string{
		"backlog_listener_drops_total" + labels:            "3385",
		"backlog_accept_queue_full_seconds_total" + labels: "2.5",
		"backlog_arrivals_total" + labels:                  "100",
	})
	want(t, scrape(t, c), map[string]string{
		"backlog_listener_drops_total" + labels:            "3385",
		"backlog_accept_queue_full_seconds_total" + labels: "3.5",
		"backlog_arrivals_total" + labels:                  "101",
	})
}

// The peak is since the last scrape.
func TestPeak(t *testing.T) {
	r := full()
	r.Depth, r.Peak = 1, 512
	at := func(ago, depth int) {
		r.Observation.History = append(r.Observation.History, backlog.Second{Start: start.Add(time.Duration(-ago) * time.Second), Max: depth})
	}
	at(30, 512)
	at(20, 300)
	at(10, 100)
	at(2, 2)
	first, second := report(r), report(r)
	first.Time = start.Add(-15 * time.Second)
	c := New(&script{reports: []*survey.Report{first, second}}, false)
	for _, peak := range []string{"512", "100", "1"} {
		want(t, scrape(t, c), map[string]string{`backlog_accept_queue_peak{local="0.0.0.0:8080",netns="host",proto="tcp"}`: peak})
	}
}

// A full socket of a group isn't hidden by the others.
func TestFullestOfAGroup(t *testing.T) {
	g := group()
	g.Members[0].Depth, g.Members[0].Limit = 90, 4096
	g.Members[1].Depth, g.Members[1].Limit = 6, 5
	g.Depth, g.Limit = 96, 4101
	labels := `{local="*:443",netns="host",proto="tcp6"}`
	want(t, scrape(t, New(&script{reports: []*survey.Report{report(g)}}, false)), map[string]string{
		"backlog_accept_queue_peak" + labels:   "6",
		"backlog_accept_queue_limit" + labels:  "5",
		"backlog_accept_queue_length" + labels: "90",
	})
}

// A member that leaves takes nothing away, and one that comes adds its own.
func TestDropsOfAGroupNeverFall(t *testing.T) {
	two, one, other := group(), group(), group()
	one.Members = one.Members[:1]
	other.Members = []survey.Row{{Cookie: 200, Drops: 2}}
	c := New(&script{reports: []*survey.Report{report(two), report(one), report(other), report(), report(other)}}, false)
	for _, total := range []string{"12", "12", "14", "", "2"} {
		want(t, scrape(t, c), map[string]string{`backlog_listener_drops_total{local="*:443",netns="host",proto="tcp6"}`: total})
	}
}

func TestDropsWrap(t *testing.T) {
	before, after := full(), full()
	before.Drops, after.Drops = 1<<32-1, 4
	c := New(&script{reports: []*survey.Report{report(before), report(after)}}, false)
	scrape(t, c)
	want(t, scrape(t, c), map[string]string{`backlog_listener_drops_total{local="0.0.0.0:8080",netns="host",proto="tcp"}`: "4.2949673e+09"})
}

func TestUnknownIsAbsent(t *testing.T) {
	r := full()
	r.OldestWait, r.Hurt, r.Owners = nil, nil, nil
	r.Observation = backlog.Observation{Arrived: -1, Accepted: -1}
	rep := report(r)
	rep.Namespaces[0].Sysctls.Somaxconn = -1
	delete(rep.Namespaces[0].Counters, "TcpExtTCPReqQFullDrop")
	text := scrape(t, New(&script{reports: []*survey.Report{rep}}, false))
	for _, name := range []string{"oldest_wait", "clients_hurt", "arrivals", "accepts_total", "somaxconn", `answer="drop"`} {
		if strings.Contains(text, name) {
			t.Errorf("%s is there:\n%s", name, text)
		}
	}
	want(t, text, map[string]string{
		`backlog_listener_info{comm="",container="",local="0.0.0.0:8080",netns="host",pid="",proto="tcp",unit=""}`: "1",
	})
}

// Arrivals are known by port only.
func TestSharedPortHasNoArrivals(t *testing.T) {
	a, b := full(), full()
	b.Local, b.Cookie = "127.0.0.2:8080", 2
	text := scrape(t, New(&script{reports: []*survey.Report{report(a, b)}}, false))
	if strings.Contains(text, "backlog_arrivals_total{") || strings.Contains(text, "backlog_accepts_total{") {
		t.Errorf("arrivals of a shared port are given to somebody:\n%s", text)
	}
}

// Listeners that differ only in what no label tells are one series.
func TestSameLabelsAreMerged(t *testing.T) {
	a, b := full(), full()
	b.Cookie, b.Drops, b.HalfOpen, b.Hurt = 2, 22, 0, nil
	labels := `{local="0.0.0.0:8080",netns="host",proto="tcp"}`
	want(t, scrape(t, New(&script{reports: []*survey.Report{report(a, b)}}, false)), map[string]string{
		"backlog_accept_queue_length" + labels:  "512",
		"backlog_listener_drops_total" + labels: "3400",
		"backlog_syn_queue_length" + labels:     "9",
		"backlog_clients_hurt" + labels:         "38",
	})
}

func TestAnyBytesInNames(t *testing.T) {
	r := full()
	r.Owners[0].Command = "no\xffde\n\"x\""
	r.Local = "/run/\xfe"
	want(t, scrape(t, New(&script{reports: []*survey.Report{report(r)}}, false)), map[string]string{
		`backlog_listener_info{comm="no?de\n\"x\"",container="",local="/run/?",netns="host",pid="27605",proto="tcp",unit="web.service"}`: "1",
	})
}

func TestOnce(t *testing.T) {
	s := &script{reports: []*survey.Report{report(full(), group())}}
	var b bytes.Buffer
	if err := WriteOnce(&b, s, false, time.Second); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "once.txt", b.String())
	if len(s.looks) != 1 || s.looks[0] != time.Second {
		t.Errorf("the looks took %v", s.looks)
	}
}
