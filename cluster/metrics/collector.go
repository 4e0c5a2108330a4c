package metrics

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"onconn/cluster"
)

// A Collector asks for the status at each scrape. Scrapes may come at the same
// time.
type Collector struct {
	status func() cluster.Status

	mu     sync.Mutex
	seen   map[int]count // by worker
	totals map[int]count // by slot
}

// A count is what only grows in a worker and ends with it.
type count struct {
	accepted int64
	cpu      time.Duration
}

// New collects from status, which is [cluster.Primary.Status].
func New(status func() cluster.Status) *Collector {
	return &Collector{status: status, seen: map[int]count{}, totals: map[int]count{}}
}

// Describe is of [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range all {
		ch <- d
	}
}

// Collect is of [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status()
	send := sender(ch)
	send.gauge(started, seconds(s.Started))
	send.gauge(wanted, float64(s.Target))
	send.counter(upgrades, float64(s.Upgrades))
	for _, operation := range []string{"reload", "scale", "upgrade"} {
		send.gauge(doing, truth(s.Doing == operation), operation)
	}
	states := map[string]int{"starting": 0, "online": 0, "hung": 0, "draining": 0}
	for _, w := range s.Workers {
		states[w.State]++
	}
	for state, n := range states {
		send.gauge(workers, float64(n), state)
	}
	c.count(s.Workers)
	for slot, w := range bySlot(s.Workers) {
		c.worker(send, slot, w)
	}
	for address, l := range byAddress(s.Listeners) {
		send.listener(address, l)
	}
}

// count adds what the workers did since the last scrape to the totals of their
// slots. Slots without a worker begin anew.
func (c *Collector) count(workers []cluster.WorkerStatus) {
	seen, totals := map[int]count{}, map[int]count{}
	for _, w := range workers {
		now, before := count{w.Accepted, w.CPU}, c.seen[w.ID]
		total, ok := totals[w.Slot]
		if !ok {
			total = c.totals[w.Slot]
		}
		total.accepted += max(now.accepted-before.accepted, 0)
		total.cpu += max(now.cpu-before.cpu, 0)
		seen[w.ID], totals[w.Slot] = now, total
	}
	c.seen, c.totals = seen, totals
}

// bySlot adds the workers of a slot up: in a reload there are two.
func bySlot(workers []cluster.WorkerStatus) map[int]cluster.WorkerStatus {
	slots := map[int]cluster.WorkerStatus{}
	for _, w := range workers {
		sum := slots[w.Slot]
		sum.Active += w.Active
		sum.Queued += w.Queued
		sum.RSS += w.RSS
		sum.Restarts = max(sum.Restarts, w.Restarts)
		sum.LastAlive = later(sum.LastAlive, w.LastAlive)
		sum.Started = later(sum.Started, w.Started)
		slots[w.Slot] = sum
	}
	return slots
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *Collector) worker(send sender, slot int, w cluster.WorkerStatus) {
	label, total := strconv.Itoa(slot), c.totals[slot]
	send.counter(accepted, float64(total.accepted), label)
	send.gauge(active, float64(w.Active), label)
	send.gauge(queued, float64(w.Queued), label)
	send.counter(restarts, float64(w.Restarts), label)
	send.counter(cpu, total.cpu.Seconds(), label)
	send.gauge(rss, float64(w.RSS), label)
	send.gauge(born, seconds(w.Started), label)
	if !w.LastAlive.IsZero() {
		send.gauge(lastAlive, seconds(w.LastAlive), label)
	}
}

// An address is what tells listeners apart.
type address struct{ network, address string }

// byAddress adds up listeners on the same address, such as a descriptor that was
// named twice.
func byAddress(listeners []cluster.ListenerStatus) map[address]cluster.ListenerStatus {
	sums := map[address]cluster.ListenerStatus{}
	for _, l := range listeners {
		k := address{l.Network, strings.ToValidUTF8(l.Address, "?")} // a path may be any bytes
		sum, ok := sums[k]
		if !ok {
			sums[k] = l
			continue
		}
		sum.Sockets += l.Sockets
		sum.Queue += l.Queue
		sum.Held += l.Held
		sum.Limit = max(sum.Limit, l.Limit)
		if sum.Drops >= 0 && l.Drops >= 0 {
			sum.Drops += l.Drops
		}
		sums[k] = sum
	}
	return sums
}

type sender chan<- prometheus.Metric

func (ch sender) gauge(d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (ch sender) counter(d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (ch sender) listener(a address, l cluster.ListenerStatus) {
	ch.gauge(queue, float64(l.Queue), a.network, a.address)
	ch.gauge(limit, float64(l.Limit), a.network, a.address)
	ch.gauge(sockets, float64(l.Sockets), a.network, a.address)
	ch.gauge(held, float64(l.Held), a.network, a.address)
	if l.Drops >= 0 {
		ch.counter(drops, float64(l.Drops), a.network, a.address)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
