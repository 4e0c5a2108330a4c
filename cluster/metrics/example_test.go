package metrics_test

import (
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"onconn/cluster"
	"onconn/cluster/metrics"
)

func Example() {
	status := func() cluster.Status { // of a cluster.Primary
		return cluster.Status{Target: 4}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.New(status))
	// promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) serves it.
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "onconn_workers_wanted" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: onconn_workers_wanted 4
}
