// Package follow makes a recording of what a tracer reports. It follows every socket
// over fork, exec, dup and SCM_RIGHTS: a table of descriptors for each process says in
// constant time which socket a number means.
package follow
