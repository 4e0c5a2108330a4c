// Package sched measures ways in which several processes can share a port: how
// evenly connections spread, and how long clients wait.
//
// The workers are this program started again, each with one accept loop and a
// tiny protocol: a request says how much CPU it costs, the answer says who gave
// it. So what is known of the shares comes from the clients. These are processes
// of their own, which send at moments fixed beforehand, whatever has been
// answered by then: a server that stalls doesn't slow them down, and the time
// counts from the moment when a connection was due.
//
// The ways are the packages of this project, as anybody would use them.
package sched
