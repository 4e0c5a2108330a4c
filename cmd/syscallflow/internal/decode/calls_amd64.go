package decode

import "golang.org/x/sys/unix"

// The older calls that this architecture has besides.
func init() {
	Calls[unix.SYS_DUP2] = &Call{"dup2", []param{{"oldfd", descriptor}, {"newfd", descriptor}}, 0}
	Calls[unix.SYS_EPOLL_CREATE] = &Call{"epoll_create", []param{{"size", number}}, -1}
	Calls[unix.SYS_EPOLL_WAIT] = &Call{"epoll_wait", []param{{"epfd", descriptor}, {"events", epollEvents}, {"maxevents", number}, {"timeout", milliseconds}}, 0}
	Calls[unix.SYS_POLL] = &Call{"poll", []param{{"fds", pollFDs}, {"nfds", size}, {"timeout", milliseconds}}, -1}
}
