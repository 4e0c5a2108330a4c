package export

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"onconn/cmd/backlogprobe/internal/survey"
)

// A Source looks at listeners: a [survey.Survey].
type Source interface {
	Look(ctx context.Context, d time.Duration) (*survey.Report, error)
}

// A Collector looks anew for each scrape. Scrapes may come at the same time;
// they are answered one after another.
type Collector struct {
	source    Source
	perSocket bool
	once      time.Duration // 0: it goes on watching between scrapes
	metrics   metrics

	mu     sync.Mutex
	totals map[key]*total
	last   time.Time // the end of the last look
	err    error     // of that look
}

// New collects from a survey that goes on watching between scrapes. perSocket
// is for a survey that doesn't fold SO_REUSEPORT groups: each socket has its
// series then, told apart by a label inode.
func New(s Source, perSocket bool) *Collector {
	return &Collector{source: s, perSocket: perSocket, metrics: newMetrics(perSocket), totals: map[key]*total{}}
}

// lookTimeout is longer than any look takes, and shorter than Prometheus waits.
const lookTimeout = 8 * time.Second

// Describe is of [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.metrics.all() {
		ch <- d
	}
}

// Collect is of [prometheus.Collector]. A look that fails fails the scrape, so
// that Prometheus shows the target as down.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), c.once+lookTimeout)
	defer cancel()
	report, err := c.source.Look(ctx, c.once)
	c.err = err
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.metrics.interval, fmt.Errorf("look at the listeners: %w", err))
		return
	}
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		for i, l := range labels {
			labels[i] = strings.ToValidUTF8(l, "?") // or it panics; anybody may choose a process's name
		}
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	send(c.metrics.interval, prometheus.GaugeValue, report.Interval.Seconds())
	for _, n := range report.Namespaces {
		c.sendNamespace(send, n)
	}
	rows := c.rows(report)
	shared := map[string]int{} // listeners by namespace and port
	for _, r := range rows {
		shared[port(r)]++
	}
	totals := make(map[key]*total, len(rows))
	for k, r := range rows {
		t := c.totals[k]
		if t == nil {
			t = &total{}
		}
		t.add(r)
		totals[k] = t
		c.sendListener(send, k, r, t, shared[port(r)] == 1)
	}
	c.totals, c.last = totals, report.Time
}

// Err is why the last scrape failed; nil if it didn't.
func (c *Collector) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Collector) rows(report *survey.Report) map[key]survey.Row {
	rows := make(map[key]survey.Row, len(report.Listeners))
	for _, r := range report.Listeners {
		k := key{netns: r.Netns, local: strings.ToValidUTF8(r.Local, "?"), proto: r.Proto}
		if c.perSocket {
			k.inode = r.Inode
		}
		if other, ok := rows[k]; ok {
			r = merge(other, r)
		}
		rows[k] = r
	}
	return rows
}

func port(r survey.Row) string { return r.Netns + " " + strconv.Itoa(r.Port) }

type sender func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string)

func (c *Collector) sendListener(send sender, k key, r survey.Row, t *total, alone bool) {
	labels := []string{k.netns, k.local, k.proto}
	if c.perSocket {
		labels = append(labels, strconv.FormatUint(uint64(k.inode), 10))
	}
	m := c.metrics
	gauge := func(d *prometheus.Desc, v float64) { send(d, prometheus.GaugeValue, v, labels...) }
	counter := func(d *prometheus.Desc, v float64) { send(d, prometheus.CounterValue, v, labels...) }
	q := queueOf(r, c.last)
	gauge(m.length, float64(q.length))
	gauge(m.limit, float64(q.limit))
	gauge(m.peak, float64(q.peak))
	gauge(m.synQueue, float64(r.HalfOpen))
	counter(m.drops, float64(t.drops))
	if r.Depth == 0 {
		gauge(m.oldestWait, 0)
	} else if r.OldestWait != nil {
		gauge(m.oldestWait, r.OldestWait.Seconds())
	}
	if r.Hurt != nil {
		gauge(m.hurt, float64(r.Hurt.Clients))
	}
	o := firstOwner(r.Owners)
	send(m.info, prometheus.GaugeValue, 1, append(labels, o.Command, pid(o), o.Unit, o.Container)...)
	if c.once > 0 {
		return // counters of our own would begin anew in each process
	}
	counter(m.full, t.full.Seconds())
	if alone && known(r) {
		counter(m.arrivals, float64(t.arrived.most))
		counter(m.accepts, float64(t.accepted.most))
	}
}

// firstOwner is the process with the lowest PID, as a rule the parent of the
// others. More than one would make info useless for joins.
func firstOwner(owners []survey.Owner) survey.Owner {
	if len(owners) == 0 {
		return survey.Owner{}
	}
	return slices.MinFunc(owners, func(a, b survey.Owner) int { return a.PID - b.PID })
}

func pid(o survey.Owner) string {
	if o.PID == 0 {
		return ""
	}
	return strconv.Itoa(o.PID)
}

func (c *Collector) sendNamespace(send sender, n survey.Namespace) {
	m := c.metrics
	if n.Sysctls.Somaxconn >= 0 {
		send(m.somaxconn, prometheus.GaugeValue, float64(n.Sysctls.Somaxconn), n.Name)
	}
	counter := func(name string, d *prometheus.Desc, labels ...string) {
		if v, ok := n.Counters[name]; ok {
			send(d, prometheus.CounterValue, float64(v), append([]string{n.Name}, labels...)...)
		}
	}
	counter("TcpExtListenOverflows", m.overflows)
	counter("TcpExtListenDrops", m.netnsDrops)
	counter("TcpExtSyncookiesSent", m.cookies)
	counter("TcpExtTCPReqQFullDoCookies", m.queueOut, "cookie")
	counter("TcpExtTCPReqQFullDrop", m.queueOut, "drop")
}
