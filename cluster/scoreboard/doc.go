// Package scoreboard has tests only: what Node's cluster and PM2 lose when
// workers die, hang, run out of descriptors or are replaced, tried on onconn. S1
// to S17 are the rows of docs/scoreboard.md, and what it calls the target is
// what the tests assert. They log times, and assert none.
//
//	go test ./cluster/scoreboard -v
//	go test ./cluster/scoreboard -v -run TestNode -node   # the same clients on Node and PM2
package scoreboard
