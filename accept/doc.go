// Package accept is the onconnection loop of a server: one epoll instance, any
// number of sources of connections, and a function that is called with each
// connection.
//
//	loop, err := accept.New(accept.Options{})
//	listener, err := loop.Add(fd, func(conn sock.FD, peer sock.Addr) { ... })
//	err = loop.Run(ctx)
//
// Everything that the loop calls, it calls one after the other on the goroutine
// of [Loop.Run], so that callbacks need no locks among themselves. There is no
// goroutine per connection, and the loop allocates nothing per connection.
//
// # Errors
//
// [Classify] says what an error of accept means. Connections that died before
// they were accepted are passed over. When no descriptor is left, connections
// wait in the kernel's queue, where they lose nothing: their source is taken out
// of epoll, since a queue that can't be emptied would make epoll_wait return at
// once for ever, and is tried again every 5 to 100 ms. Only when no accept has
// succeeded for [Options.ShedAfter] does the loop close some that wait, through
// a descriptor that it keeps in reserve, so that their clients hear of it. A
// source that fails for good is removed and reported ([Options.OnError]).
//
// # Several processes
//
// Processes that accept from one listening socket add it with [Shared].
//
// # Waiting
//
// The loop waits in a blocking epoll_wait, not in the Go runtime's poller, which
// a process whose CPUs are all busy asks only every 10 ms or so.
package accept
