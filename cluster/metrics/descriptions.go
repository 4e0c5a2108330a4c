package metrics

import "github.com/prometheus/client_golang/prometheus"

func primary(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("onconn_"+name, help, labels, nil)
}

func worker(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("onconn_worker_"+name, help, []string{"slot"}, nil)
}

func listener(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("onconn_listener_"+name, help, []string{"network", "address"}, nil)
}

var (
	started  = primary("start_time_seconds", "When the primary was started, as a Unix time.")
	wanted   = primary("workers_wanted", "How many workers there should be.")
	workers  = primary("workers", "Workers by state.", "state")
	doing    = primary("doing", "1 for what the primary does to its workers now.", "operation")
	upgrades = primary("upgrades_total", "How often the primary has executed its program anew.")

	accepted  = worker("accepted_total", "Connections that the workers of the slot took.")
	active    = worker("connections", "Connections that are open in the workers of the slot.")
	queued    = worker("queue_length", "Connections that the primary has handed over and the worker has not taken.")
	restarts  = worker("restarts_total", "How often a worker of the slot was replaced after its death.")
	cpu       = worker("cpu_seconds_total", "CPU time of the workers of the slot.")
	rss       = worker("resident_memory_bytes", "Resident memory of the workers of the slot.")
	lastAlive = worker("last_alive_timestamp_seconds", "When a worker of the slot last showed that it runs, as a Unix time. Absent for a program that knows only LISTEN_FDS.")
	born      = worker("start_time_seconds", "When the newest worker of the slot was started, as a Unix time.")

	queue   = listener("accept_queue_length", "Connections that wait in the kernel's accept queues.")
	limit   = listener("accept_queue_limit", "Backlog that listen(2) granted to one accept queue.")
	drops   = listener("drops_total", "Packets that full accept queues dropped. Absent while unknown.")
	sockets = listener("sockets", "Listening sockets of the address: more than one in reuseport mode.")
	held    = listener("held", "Connections that the primary has accepted and for which no worker has room.")
)

var all = []*prometheus.Desc{started, wanted, workers, doing, upgrades,
	accepted, active, queued, restarts, cpu, rss, lastAlive, born, queue, limit, drops, sockets, held}
