package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"onconn/cluster"
	"onconn/cluster/control"
	"onconn/cluster/metrics"
	"onconn/listen"
)

// An observed cluster has a control socket, and metrics where that was asked for.
type observed struct {
	control *control.Server // or nil
	server  *http.Server    // or nil
	served  sync.WaitGroup
}

// observe opens what it can. That comes after the cluster's start: a program that
// is tried for an upgrade doesn't come so far.
func (f *runFlags) observe(ops *operations, log *logger) (o *observed, err error) {
	o = &observed{}
	if f.metrics != "" {
		if err = o.serveMetrics(f.metrics, ops.Status); err != nil {
			err = fmt.Errorf("--metrics: %w", err)
		}
	}
	var controlErr error
	o.control, controlErr = f.openControl(ops, log)
	return o, errors.Join(err, controlErr)
}

// openControl returns nil where there is to be none. A server without one is
// better than none, unless somebody has said where it is to be.
func (f *runFlags) openControl(ops *operations, log *logger) (*control.Server, error) {
	switch f.control {
	case "off":
		return nil, nil
	case "":
		path, err := control.DefaultPath()
		if err == nil {
			var s *control.Server
			if s, err = control.Listen(path, ops, log.Logger); err == nil {
				return s, nil
			}
		}
		fmt.Fprintf(log.out, "onconn: no status and reload from outside: %v; --control PATH says where its socket may be, off that there is none\n", err)
		return nil, nil
	}
	return control.Listen(f.control, ops, log.Logger)
}

func (o *observed) serveMetrics(address string, status func() cluster.Status) error {
	ln, err := listen.Listen("tcp", address)
	if err != nil {
		return err
	}
	o.server = &http.Server{
		Handler: metricsHandler(status), ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	o.served.Go(func() { o.server.Serve(ln) })
	return nil
}

// end breaks off what clients still wait for.
func (o *observed) end() {
	if o.control != nil {
		o.control.Close()
	}
	if o.server != nil {
		o.server.Close()
		o.served.Wait()
	}
}

// metricsHandler serves /metrics, and /healthz, which fails while no worker is
// online.
func metricsHandler(status func() cluster.Status) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.New(status), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		for _, worker := range status().Workers {
			if worker.State == "online" || worker.LastAlive.IsZero() {
				io.WriteString(w, "ok\n")
				return
			}
		}
		http.Error(w, "no worker is online", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, `<!doctype html><title>onconn</title><h1>onconn</h1>`+
			`<p><a href="/metrics">metrics</a> <a href="/healthz">health</a></p>`+"\n")
	})
	return mux
}

// checkMetrics finds a mistake in --metrics.
func checkMetrics(address string) error {
	if address == "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return fmt.Errorf("--metrics is %q: it is host:port or :port", address)
	}
	return nil
}
