package metrics

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"onconn/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(s int64) time.Time { return time.Unix(s, 500_000_000) }

func sample() cluster.Status {
	return cluster.Status{
		PID: 1, Started: at(100), Target: 2, Doing: "reload", Upgrades: 3,
		Listeners: []cluster.ListenerStatus{
			{Network: "tcp", Address: "[::]:80", Sockets: 2, Queue: 5, Limit: 511, Drops: 7, Held: 1},
			{Network: "unix", Address: "/a\xff", Sockets: 1, Limit: 511, Drops: -1},
		},
		Workers: []cluster.WorkerStatus{
			{ID: 1, Slot: 0, PID: 10, State: "draining", Started: at(100), Accepted: 50, Active: 4, Restarts: 1, CPU: 2 * time.Second, RSS: 1000, LastAlive: at(200)},
			{ID: 3, Slot: 0, PID: 12, State: "online", Started: at(150), Accepted: 5, Active: 1, Queued: 2, Restarts: 1, CPU: time.Second, RSS: 500, LastAlive: at(201)},
			{ID: 2, Slot: 1, PID: 11, State: "starting", Started: at(101)},
		},
	}
}

// scrape is the text of one scrape, checked pedantically; with names, of these
// families only.
func scrape(t *testing.T, c *Collector, names ...string) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if len(names) > 0 && !slices.Contains(names, f.GetName()) {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

const whole = `# HELP onconn_doing 1 for what the primary does to its workers now.
# TYPE onconn_doing gauge
onconn_doing{operation="reload"} 1
onconn_doing{operation="scale"} 0
onconn_doing{operation="upgrade"} 0
# HELP onconn_listener_accept_queue_length Connections that wait in the kernel's accept queues.
# TYPE onconn_listener_accept_queue_length gauge
onconn_listener_accept_queue_length{address="/a?",network="unix"} 0
onconn_listener_accept_queue_length{address="[::]:80",network="tcp"} 5
# HELP onconn_listener_accept_queue_limit Backlog that listen(2) granted to one accept queue.
# TYPE onconn_listener_accept_queue_limit gauge
onconn_listener_accept_queue_limit{address="/a?",network="unix"} 511
onconn_listener_accept_queue_limit{address="[::]:80",network="tcp"} 511
# HELP onconn_listener_drops_total Packets that full accept queues dropped. Absent while unknown.
# TYPE onconn_listener_drops_total counter
onconn_listener_drops_total{address="[::]:80",network="tcp"} 7
# HELP onconn_listener_held Connections that the primary has accepted and for which no worker has room.
# TYPE onconn_listener_held gauge
onconn_listener_held{address="/a?",network="unix"} 0
onconn_listener_held{address="[::]:80",network="tcp"} 1
# HELP onconn_listener_sockets Listening sockets of the address: more than one in reuseport mode.
# TYPE onconn_listener_sockets gauge
onconn_listener_sockets{address="/a?",network="unix"} 1
onconn_listener_sockets{address="[::]:80",network="tcp"} 2
# HELP onconn_start_time_seconds When the primary was started, as a Unix time.
# TYPE onconn_start_time_seconds gauge
onconn_start_time_seconds 100.5
# HELP onconn_upgrades_total How often the primary has executed its program anew.
# TYPE onconn_upgrades_total counter
onconn_upgrades_total 3
# HELP onconn_worker_accepted_total Connections that the workers of the slot took.
# TYPE onconn_worker_accepted_total counter
onconn_worker_accepted_total{slot="0"} 55
onconn_worker_accepted_total{slot="1"} 0
# HELP onconn_worker_connections Connections that are open in the workers of the slot.
# TYPE onconn_worker_connections gauge
onconn_worker_connections{slot="0"} 5
onconn_worker_connections{slot="1"} 0
# HELP onconn_worker_cpu_seconds_total CPU time of the workers of the slot.
# TYPE onconn_worker_cpu_seconds_total counter
onconn_worker_cpu_seconds_total{slot="0"} 3
onconn_worker_cpu_seconds_total{slot="1"} 0
# HELP onconn_worker_last_alive_timestamp_seconds When a worker of the slot last showed that it runs, as a Unix time. Absent for a program that knows only LISTEN_FDS.
# TYPE onconn_worker_last_alive_timestamp_seconds gauge
onconn_worker_last_alive_timestamp_seconds{slot="0"} 201.5
# HELP onconn_worker_queue_length Connections that the primary has handed over and the worker has not taken.
# TYPE onconn_worker_queue_length gauge
onconn_worker_queue_length{slot="0"} 2
onconn_worker_queue_length{slot="1"} 0
# HELP onconn_worker_resident_memory_bytes Resident memory of the workers of the slot.
# TYPE onconn_worker_resident_memory_bytes gauge
onconn_worker_resident_memory_bytes{slot="0"} 1500
onconn_worker_resident_memory_bytes{slot="1"} 0
# HELP onconn_worker_restarts_total How often a worker of the slot was replaced after its death.
# TYPE onconn_worker_restarts_total counter
onconn_worker_restarts_total{slot="0"} 1
onconn_worker_restarts_total{slot="1"} 0
# HELP onconn_worker_start_time_seconds When the newest worker of the slot was started, as a Unix time.
# TYPE onconn_worker_start_time_seconds gauge
onconn_worker_start_time_seconds{slot="0"} 150.5
onconn_worker_start_time_seconds{slot="1"} 101.5
# HELP onconn_workers Workers by state.
# TYPE onconn_workers gauge
onconn_workers{state="draining"} 1
onconn_workers{state="hung"} 0
onconn_workers{state="online"} 1
onconn_workers{state="starting"} 1
# HELP onconn_workers_wanted How many workers there should be.
# TYPE onconn_workers_wanted gauge
onconn_workers_wanted 2
`

func TestScrape(t *testing.T) {
	c := New(sample)
	for range 2 { // a second scrape counts nothing twice
		if got := scrape(t, c); got != whole {
			t.Errorf("it is\n%s", got)
		}
	}
	problems, err := promlint.New(strings.NewReader(whole)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("the linter says %v, %v", problems, err)
	}
}

// Counters go on where a worker ends and its successor begins with nothing.
func TestReplaced(t *testing.T) {
	status := sample()
	c := New(func() cluster.Status { return status })
	expect := func(slot0 string) {
		t.Helper()
		got := scrape(t, c, "onconn_worker_accepted_total")
		if _, series, _ := strings.Cut(got, "counter\n"); series != slot0 {
			t.Errorf("the series are\n%s", series)
		}
	}
	expect("onconn_worker_accepted_total{slot=\"0\"} 55\nonconn_worker_accepted_total{slot=\"1\"} 0\n")
	status.Workers = []cluster.WorkerStatus{{ID: 3, Slot: 0, Accepted: 6}, {ID: 4, Slot: 1, Accepted: 2}}
	expect("onconn_worker_accepted_total{slot=\"0\"} 56\nonconn_worker_accepted_total{slot=\"1\"} 2\n")
	status.Workers = []cluster.WorkerStatus{{ID: 5, Slot: 0, Accepted: 1}}
	expect("onconn_worker_accepted_total{slot=\"0\"} 57\n")
	status.Workers = nil
	expect("")
	if len(c.seen)+len(c.totals) != 0 {
		t.Errorf("it remembers %v %v", c.seen, c.totals)
	}
}

// One address twice is one series, or the scrape would fail.
func TestSameAddress(t *testing.T) {
	l := cluster.ListenerStatus{Network: "tcp", Address: ":80", Queue: 2, Sockets: 1, Drops: 3}
	c := New(func() cluster.Status { return cluster.Status{Listeners: []cluster.ListenerStatus{l, l}} })
	got := scrape(t, c)
	for _, series := range []string{"accept_queue_length{address=\":80\",network=\"tcp\"} 4\n", "drops_total{address=\":80\",network=\"tcp\"} 6\n"} {
		if !strings.Contains(got, "onconn_listener_"+series) {
			t.Errorf("there is no %s in\n%s", series, got)
		}
	}
}

func TestScrapesAtOnce(t *testing.T) {
	c := New(sample)
	var scrapes sync.WaitGroup
	for range 8 {
		scrapes.Go(func() {
			ch := make(chan prometheus.Metric, 1000)
			c.Collect(ch)
		})
	}
	scrapes.Wait()
}
