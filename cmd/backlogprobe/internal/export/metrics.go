package export

import "github.com/prometheus/client_golang/prometheus"

// The metrics of a listener have the labels netns, local and proto; with a
// series per socket inode too. What changes with a restart is in info only.
type metrics struct {
	length, limit, peak, full, synQueue      *prometheus.Desc
	drops, arrivals, accepts                 *prometheus.Desc
	oldestWait, hurt, info                   *prometheus.Desc
	somaxconn, interval                      *prometheus.Desc
	overflows, netnsDrops, cookies, queueOut *prometheus.Desc
}

func newMetrics(perSocket bool) metrics {
	labels := []string{"netns", "local", "proto"}
	if perSocket {
		labels = append(labels, "inode")
	}
	listener := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("backlog_"+name, help, append(labels[:len(labels):len(labels)], more...), nil)
	}
	netns := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("backlog_"+name, help, append([]string{"netns"}, more...), nil)
	}
	return metrics{
		length:     listener("accept_queue_length", "Connections that wait for accept(2) now; of a group of sockets, in the one with most."),
		limit:      listener("accept_queue_limit", "Backlog that listen(2) granted. The queue holds one connection more. Of a group, the limit of the socket that was fullest."),
		peak:       listener("accept_queue_peak", "Greatest length since the last scrape, whoever scraped, and of the last minute at most; of a group, the fullest socket's."),
		full:       listener("accept_queue_full_seconds_total", "Time for which the queue was full and refused connections; of a group, the fullest socket's."),
		synQueue:   listener("syn_queue_length", "Unfinished handshakes (SYN_RECV) of the local port. Those answered with a SYN cookie are not there."),
		drops:      listener("listener_drops_total", "Segments that the sockets refused (sk_drops): packets, not clients. Each refused SYN counts once, each refused final ACK twice, retries again, and stray segments too."),
		arrivals:   listener("arrivals_total", "Handshakes that were finished. Absent while unknown, or where several listeners share the port."),
		accepts:    listener("accepts_total", "Connections taken by accept(2). Absent while unknown, or where several listeners share the port."),
		oldestWait: listener("oldest_wait_seconds", "How long the oldest connection in the queue has been waiting; 0 for an empty queue."),
		hurt:       listener("clients_hurt", "Clients that were refused and wait to try again: counted on the wire with CAP_NET_RAW, else estimated from refusals per second."),
		info:       listener("listener_info", "Always 1. The first of the processes that hold the socket; empty labels where it is hidden.", "comm", "pid", "unit", "container"),
		somaxconn:  netns("somaxconn", "net.core.somaxconn, the most that listen(2) grants."),
		interval:   prometheus.NewDesc("backlog_probe_sample_interval_seconds", "Time between two samples of the queues. Shorter peaks may be missed.", nil, nil),
		overflows:  netns("netns_listen_overflows_total", "Segments refused by a full accept queue (TcpExtListenOverflows)."),
		netnsDrops: netns("netns_listen_drops_total", "Segments refused by listeners, for any reason (TcpExtListenDrops)."),
		cookies:    netns("netns_syncookies_sent_total", "SYN cookies sent (TcpExtSyncookiesSent)."),
		queueOut:   netns("netns_request_queue_full_total", "SYNs that found the queue of handshakes full (with tcp_syncookies=2 all SYNs), by what was done with them (TcpExtTCPReqQFullDoCookies, TcpExtTCPReqQFullDrop).", "answer"),
	}
}

func (m metrics) all() []*prometheus.Desc {
	return []*prometheus.Desc{m.length, m.limit, m.peak, m.full, m.synQueue, m.drops, m.arrivals, m.accepts,
		m.oldestWait, m.hurt, m.info, m.somaxconn, m.interval, m.overflows, m.netnsDrops, m.cookies, m.queueOut}
}
