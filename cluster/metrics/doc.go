// Package metrics shows a cluster to Prometheus.
//
// The series of workers are by slot, which a worker and its successors have, and
// not by process. So their number is that of the workers, however often these are
// replaced.
package metrics
