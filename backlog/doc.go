// Package backlog reads what waits in the accept queues of listening sockets,
// and finds out who holds an address.
//
// [Of] reads the queue of a descriptor. A [Namespace] reads the sockets of all
// processes of a network namespace: its listeners with their queues and drops,
// the handshakes and the connections that wait, and its counters and settings.
// [Owners] and [Holders] name the processes. [Watch] samples the queues, and
// keeps their peaks, stalls and rates; [Advise] says from these what backlog is
// enough, and [SetLimit] gives it to a server that runs.
//
// Everything is asked from the kernel at the moment of the call: getsockopt(2),
// sock_diag(7) and files of /proc. Reading needs no privilege in our own network
// namespace; entering another one needs CAP_SYS_ADMIN, naming the process that
// holds a socket the right to read its /proc/PID/fd, and SetLimit that to ptrace
// it. It needs Linux 5.3, and SetLimit 5.6.
package backlog
