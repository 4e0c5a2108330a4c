// Package connwrap makes a connected descriptor a full [net.Conn]: deadlines,
// half-open streams, the errors of package net, and the ways past user space
// that net/http and io.Copy look for (sendfile, splice, writev).
//
// It is an [os.File] on a non-blocking socket, so that the runtime's poller
// waits for it. Package net offers no way to wrap a descriptor without
// duplicating it and asking for names and options that the caller knows
// already: accept, [New] and Close together cost five system calls (accept4,
// fcntl, two epoll_ctl, close) where [net.Listener] needs ten. TCP_NODELAY
// and keep-alive are not set here, since an accepted socket inherits them from
// its listener. With [Config.Late] only accept4, getsockopt (SO_LINGER) and close
// are left until a call has to wait.
//
// A [Conn] owns its descriptor until Close, or until [Conn.Detach] hands it on.
package connwrap
