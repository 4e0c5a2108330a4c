// Package cluster runs one program many times behind one port.
//
// The first process is the primary. It owns every socket; the workers, the same
// program started again, only borrow. [Listen] gives a [net.Listener] in
// either, so the server's code doesn't know where it runs:
//
//	if cluster.IsPrimary() {
//		p, err := cluster.New(cluster.Config{Workers: 4})
//		...
//		return p.Run(ctx)
//	}
//	ln, err := cluster.Listen("tcp", ":8000")
//	...
//	srv := &http.Server{Handler: handler}
//	return httpserve.Serve(srv, ln) // nil after a drain
//
// Connections reach the workers in one of three ways, which the worker's code
// can't tell apart. [RoundRobin]: the primary accepts and hands over through a
// queue for each worker and listener. [Shared]: the workers accept from the
// primary's one listening socket. [ReusePort]: each worker accepts from a
// listening socket of its own, which the primary made and keeps.
//
// What no worker has taken yet stays with the primary, whatever becomes of the
// worker: it is handed to another one, or waits in the kernel for the next.
//
// Names follow Node's cluster module where its users would look for them.
// Linux 4.5 or newer; ReusePort 5.3.
package cluster
