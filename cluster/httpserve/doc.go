// Package httpserve is http.Server.Serve for a worker: when the worker is asked
// to go, no request of a client that keeps its connections is lost.
//
//	ln, err := cluster.Listen("tcp", ":8000")
//	...
//	return httpserve.Serve(&http.Server{Handler: handler}, ln) // nil after a drain
//
// What net/http has for that loses some. Shutdown closes connections whose first
// request is on the way, and SetKeepAlivesEnabled(false) closes those that are
// idle at once, while their clients may be sending the next request. Here a
// drain goes like this:
//
//   - Every answer from now on says Connection: close, and is the last one on its
//     connection. HTTP/2 connections get GOAWAY.
//   - A connection that is idle stays open for the grace. A request that comes
//     meanwhile is answered.
//   - After the grace it is closed: by whoever waits for the next request, after a
//     look into the socket, so never while one waits there unread.
//   - What is closed is first shut down for writing. An answer that the client has
//     not read yet is not destroyed by what the client sends meanwhile.
//   - What is left at the timeout is cut off, also connections that were hijacked.
//
// What can still be lost is a request that crosses the end of the grace on the
// network. HTTP/1 has no remedy for that but to wait longer.
//
// A server of another protocol does the same with [onconn/cluster.Draining]: it
// tells its clients to go, serves those that don't know yet, and closes what is
// quiet. It may take [onconn/cluster.DrainTimeout].
package httpserve
