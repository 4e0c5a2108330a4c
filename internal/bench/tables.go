package main

import (
	"time"

	"onconn/internal/bench/load"
)

// A Table is one load and the servers that bear it in turns.
type Table struct {
	Name    string
	Title   string
	Servers []string // of peer.All; the first is what the others are compared with
	Workers int
	Load    load.Config // without an address
	Half    bool        // the rate is half of what the slowest server can do
	Idle    int         // connections that wait beside the load
	Memory  bool        // no load: what the idle connections take, after a request each if Load.Work is KeepAlive
	Window  time.Duration
	Bounds  []Bound
}

// A Bound is what is demanded of a pair of servers.
type Bound struct {
	Ours, Theirs string
	What         Measure
	AtMost       float64 // 0: only reported
}

// A Measure is what is compared.
type Measure string

const (
	CPU    Measure = "CPU"    // ratio of CPU times
	P99    Measure = "p99"    // ratio of the 99th percentiles of latency
	Bytes  Measure = "bytes"  // difference of user memory for an idle connection
	Memory Measure = "memory" // its ratio
)

const inFlight = 64

func closed(w load.Work) load.Config { return load.Config{Work: w, InFlight: inFlight} }

// tables are those of BENCHMARKS.md, in its order.
var tables = []Table{
	{
		Name: "close", Title: "Accept and close, 64 in flight",
		Servers: []string{"c-close", "loop-close", "listen-close", "net-close", "gnet-close", "node-close"}, Workers: 1, Load: closed(load.Close),
		Bounds: []Bound{{"loop-close", "c-close", CPU, 1.05}, {"listen-close", "net-close", CPU, 0.70}},
	},
	{
		Name: "close-500", Title: "Accept and close, 500 connections/s",
		Servers: []string{"c-close", "loop-close", "listen-close", "net-close", "gnet-close"}, Workers: 1,
		Load: load.Config{Work: load.Close, Rate: 500}, Window: time.Second,
		Bounds: []Bound{{"loop-close", "c-close", CPU, 1.30}},
	},
	{
		Name: "http", Title: "HTTP, a connection for each request, one process, 64 in flight",
		Servers: []string{"c-http", "loop-http", "listen-nethttp", "net-nethttp", "gnet-http", "fasthttp", "nginx", "haproxy", "node-http"}, Workers: 1, Load: closed(load.HTTP),
		Bounds: []Bound{{"loop-http", "c-http", CPU, 1.10}, {"listen-nethttp", "net-nethttp", CPU, 0.92}},
	},
	{
		Name: "keepalive", Title: "HTTP, 64 connections that stay",
		Servers: []string{"c-http", "loop-http", "listen-nethttp", "net-nethttp", "nginx", "node-http"}, Workers: 1, Load: closed(load.KeepAlive),
		Bounds: []Bound{{"listen-nethttp", "net-nethttp", CPU, 1.00}},
	},
	{
		Name: "workers", Title: "HTTP, a connection for each request, 2 workers, 64 in flight",
		Servers: []string{"c-rr", "handoff", "rr-loop", "rr-nethttp", "shared-nethttp", "reuseport-nethttp", "c-shared", "c-reuseport", "nginx", "nginx-reuseport", "gnet-http", "fasthttp", "node-rr", "node-none"},
		Workers: 2, Load: closed(load.HTTP),
		Bounds: []Bound{
			{"handoff", "c-rr", CPU, 1.05}, {"rr-loop", "c-rr", CPU, 1.05},
			{"handoff", "node-rr", CPU, 0.09}, {"rr-loop", "node-rr", CPU, 0.09},
			{"rr-nethttp", "node-rr", CPU, 0.18}, {"rr-nethttp", "reuseport-nethttp", CPU, 1.10},
			{"shared-nethttp", "nginx", CPU, 0}, {"reuseport-nethttp", "nginx-reuseport", CPU, 0},
		},
	},
	{
		Name: "node", Title: "Node and Go, one under the other: HTTP, a connection for each request, 2 workers, 64 in flight",
		Servers: []string{"node-rr", "node-go", "rr-node", "rr-nethttp"}, Workers: 2, Load: closed(load.HTTP),
		Bounds: []Bound{{"node-go", "node-rr", CPU, 0}, {"rr-node", "node-rr", CPU, 0}},
	},
	{
		Name: "workers-8", Title: "The same with 8 workers",
		Servers: []string{"c-rr", "handoff", "rr-loop", "rr-nethttp", "reuseport-nethttp", "node-rr"}, Workers: 8, Load: closed(load.HTTP),
		Bounds: []Bound{
			{"handoff", "c-rr", CPU, 1.05}, {"rr-loop", "c-rr", CPU, 1.05}, {"rr-nethttp", "node-rr", CPU, 0.18},
			{"rr-nethttp", "reuseport-nethttp", CPU, 1.10},
		},
	},
	{
		Name: "idle", Title: "HTTP, a connection for each request, one process, with 10,000 idle connections beside",
		Servers: []string{"c-http", "loop-http", "listen-nethttp", "net-nethttp"}, Workers: 1, Load: closed(load.HTTP), Idle: 10000,
		Bounds: []Bound{{"loop-http", "c-http", CPU, 1.10}, {"listen-nethttp", "net-nethttp", CPU, 0.92}},
	},
	{
		Name: "workers-idle", Title: "HTTP, a connection for each request, 2 workers, with 10,000 idle connections beside",
		Servers: []string{"c-rr", "handoff", "rr-loop", "rr-nethttp", "reuseport-nethttp"}, Workers: 2, Load: closed(load.HTTP), Idle: 10000,
		Bounds: []Bound{{"handoff", "c-rr", CPU, 1.05}, {"rr-loop", "c-rr", CPU, 1.05}, {"rr-nethttp", "reuseport-nethttp", CPU, 1.10}},
	},
	half("close", load.Close, 1, "c-close", "loop-close"),
	half("accept", load.Close, 1, "net-close", "listen-close"),
	half("http", load.HTTP, 1, "c-http", "loop-http"),
	half("nethttp", load.HTTP, 1, "net-nethttp", "listen-nethttp"),
	half("rr", load.HTTP, 2, "c-rr", "handoff", "rr-loop"),
	half("rr-nethttp", load.HTTP, 2, "reuseport-nethttp", "rr-nethttp"),
	{
		Name: "memory", Title: "User memory of 10,000 idle connections",
		Servers: []string{"c-hold", "loop-hold", "listen-hold", "net-hold", "node-hold"}, Workers: 1, Idle: 10000, Memory: true,
		Bounds: []Bound{{"loop-hold", "c-hold", Bytes, 64}},
	},
	{
		Name: "memory-http", Title: "User memory of 10,000 idle connections after a request each",
		Servers: []string{"net-nethttp", "listen-nethttp", "node-http"}, Workers: 1, Idle: 10000, Memory: true, Load: closed(load.KeepAlive),
		Bounds: []Bound{{"listen-nethttp", "net-nethttp", Memory, 1.00}},
	},
}

// half is a table of latencies at half of the maximum rate. Each server is compared with
// the first.
func half(name string, w load.Work, workers int, servers ...string) Table {
	t := Table{
		Name: "half-" + name, Title: "Latency at half of the maximum rate: " + name, Servers: servers, Workers: workers,
		Load: load.Config{Work: w}, Half: true, Window: time.Second,
	}
	for _, s := range servers[1:] {
		t.Bounds = append(t.Bounds, Bound{s, servers[0], P99, 1.1})
	}
	return t
}
