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
// A loop whose process is quiet waits in the Go runtime's poller, and the process
// sleeps as a whole. That poller is asked only every 10 ms or so when all CPUs of the
// process are busy. So when it is woken, but every 10 ms at most, the loop asks
// runtime/metrics whether more goroutines run or could run than there are Ps. If so
// it waits in epoll_wait, in a thread that the kernel wakes, until it wasn't so for a
// while. With a source that is [Shared] it always does: that is where the kernel
// looks for the one process to wake.
//
// Callbacks that only use [sock.FD.Recv] and [sock.FD.Send] with MSG_DONTWAIT and
// [sock.FD.Close] keep it cheap: other system calls wake a thread of the runtime
// that watches whether they block.
package accept
