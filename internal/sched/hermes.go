package sched

import "time"

// Hermes are the five cases of docs/hermes.md, for that many CPUs.
func Hermes(cpus int) []Case {
	stalled := []Work{{1, 2 * time.Millisecond}}
	expensive := []Work{{0.1, 50 * time.Millisecond}, {0.9, time.Millisecond}}
	const (
		stalling = 8 * time.Second
		costly   = 10 * time.Second
	)
	return []Case{{
		Name:  "long-lived",
		Title: "2,000 connections come over 20 s and stay, with a short request now and then",
		Load: Load{Connections: 2000, For: 20 * time.Second, Work: []Work{{1, 100 * time.Microsecond}},
			Stay: true, Again: 5 * time.Second},
	}, {
		Name:  "stall",
		Title: "one worker stops for 500 ms in each 2 s, while the others are loaded to 70 %",
		Load:  Load{Connections: loadTo(0.7, cpus, stalled, stalling), For: stalling, Work: stalled},
		Stall: Stall{For: 500 * time.Millisecond, Every: 2 * time.Second},
	}, {
		Name:  "burst",
		Title: "240 connections are open; all send a request of 2 ms CPU at once, each second",
		Load: Load{Connections: 240, For: 2 * time.Second, Work: []Work{{1, 2 * time.Millisecond}},
			Stay: true, Again: time.Second, Rounds: 8},
	}, {
		Name:  "expensive",
		Title: "50 ms of CPU for one connection in ten, 1 ms for the others, 80 % load",
		Load:  Load{Connections: loadTo(0.8, cpus, expensive, costly), For: costly, Work: expensive},
	}, {
		Name:  "cheap",
		Title: "3,000 connections a second with no work to speak of",
		Load:  Load{Connections: 15000, For: 5 * time.Second},
	}}
}

// HermesWays are the ways that are compared there, with the limit and the age of
// a heartbeat that [Config] has for them: no limit, 200 ms.
func HermesWays() []Way { return []Way{Exclusive, Shared, Hash, LeastLoaded} }
