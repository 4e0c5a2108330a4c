// Command bench measures what accepting connections costs, onconn's servers beside
// those that a user might take instead, and writes the tables of BENCHMARKS.md:
//
//	go run ./internal/bench --write BENCHMARKS.md
//
// It needs Linux, and the servers that bench --list says are missing; what is missing is
// listed in the tables too.
//
// # How to read its tables
//
// What counts is CPU time for a connection, of all processes of a server, as a ratio to
// another server's in the same round: servers take turns in windows of half a second,
// so that what else happens on the machine happens to all of them. "1.12 [1.08–1.15]" is
// the median of all rounds and the quartiles. A ratio says more than the µs beside it,
// and two tables can't be compared by their µs.
//
// "a second" in a closed loop is mostly how fast the client is, which has the other half
// of the CPUs, and p50 and p99 follow from it. In an open loop they are the latency that
// a user would have: it counts from when a connection should have begun, whether or not
// the client or the server was late.
//
// A bound holds if the median of a run is not above it; "in 2 of 3" are runs. Below a
// table stands what speaks against its figures: noise, windows with few connections, a
// client that was late, servers that this machine lacks. Errors have a column.
package main
