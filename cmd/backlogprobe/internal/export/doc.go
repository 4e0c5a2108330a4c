// Package export makes Prometheus metrics of what a survey reports.
//
// Lengths and limits are gauges of the moment. Counters add up what each socket
// counted, so they never go backwards while anything listens on an address,
// whichever sockets come and go; once a scrape finds nobody there they start
// anew. What isn't known is left out, and never 0.
package export
