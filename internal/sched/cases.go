package sched

import "time"

// Usual are the cases that show most in a short time: idle workers, loaded ones,
// and loaded ones of which one stops, for that many CPUs. Each takes about a
// second.
func Usual(cpus int) []Case {
	const during = 1200 * time.Millisecond
	work := []Work{{0.05, 10 * time.Millisecond}, {0.95, time.Millisecond}}
	loaded := Load{Connections: loadTo(0.6, cpus, work, during), For: during, Work: work}
	return []Case{{
		Name:  "idle",
		Title: "a connection now and then, no work",
		Load:  Load{Connections: 200, For: 800 * time.Millisecond},
	}, {
		Name:  "loaded",
		Title: "60 % of the CPUs: 1 ms for a connection, 10 ms for one in 20",
		Load:  loaded,
	}, {
		Name:  "hung",
		Title: "the same, while one worker stops for 400 ms",
		Load:  loaded,
		Stall: Stall{For: 400 * time.Millisecond, Every: during},
	}}
}
