// Package backlog reads what waits in the accept queues of listening sockets,
// and finds out who holds an address.
//
// [Of] reads the queue of a descriptor. A [Namespace] reads the sockets of all
// processes of a network namespace: its listeners with their queues and drops,
// the handshakes and the connections that wait, and its counters and settings.
// [Owners] and [Holders] name the processes.
//
// Everything is asked from the kernel at the moment of the call: getsockopt(2),
// sock_diag(7) and files of /proc. None of it needs a privilege in our own
// network namespace; entering another one needs CAP_SYS_ADMIN, and naming the
// process that holds a socket the right to read its /proc/PID/fd. It needs
// Linux 5.3.
package backlog
