// Package backlog reads what waits in the accept queues of listening sockets,
// and finds out who holds an address.
//
// Everything is asked from the kernel at the moment of the call: getsockopt(2)
// on a descriptor, or sock_diag(7) for sockets of other processes in the same
// network namespace. Neither needs a privilege. Naming the process that holds
// a socket needs the right to read its /proc/PID/fd.
package backlog
