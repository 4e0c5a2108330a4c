package backlog

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// SetLimit changes the backlog of a listening socket that another process
// holds, without its help: it copies the descriptor (pidfd_getfd), calls
// listen(2) on the copy and closes it at once. Connections that wait stay, and
// clients that were refused get in when they try again. The somaxconn of the
// socket's namespace caps it; a negative backlog means just that much, and 0
// admits one connection, as listen(2) has it. When the process calls listen
// anew, the change is gone. It returns the queue before and after.
//
// It needs the right to ptrace the owner, EPERM otherwise: CAP_SYS_PTRACE, or
// the same user, unless the owner has changed its user or kernel.yama.ptrace_scope
// isn't 0. ESRCH: the process has gone, or its descriptor is no longer
// this socket, and nothing was changed. Linux 5.6.
func SetLimit(l Listener, o Owner, backlog int) (before, after Queue, err error) {
	if l.Cookie == 0 && l.Inode == 0 {
		return before, after, errors.New("set limit: the Listener has neither cookie nor inode: take it from Namespace.Listeners")
	}
	fd, err := duplicate(o)
	if err == nil {
		// A copy kept open would keep the port listening after its owner closed it.
		defer fd.Close()
		before, after, err = relisten(fd, l, backlog)
	}
	if err != nil {
		err = fmt.Errorf("set limit of %v, %v: %w%s", l.Addr, o, err, remedy(err))
	}
	return before, after, err
}

func remedy(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return ": run as root (CAP_SYS_PTRACE), or as the owner's user if kernel.yama.ptrace_scope is 0"
	case errors.Is(err, unix.ESRCH):
		return ": it has gone, or its descriptor is another socket now: look for the owner again"
	case errors.Is(err, unix.ENOSYS):
		return ": needs Linux 5.6"
	}
	return ""
}

// duplicate copies the owner's descriptor.
func duplicate(o Owner) (sock.FD, error) {
	if o.PID == 0 { // one that we couldn't look into
		return sock.None, os.NewSyscallError("pidfd_open", unix.EPERM)
	}
	pidfd, err := unix.PidfdOpen(o.PID, 0)
	if err != nil {
		return sock.None, os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, o.FD, 0)
	if err == unix.EBADF {
		err = unix.ESRCH // the owner has closed it
	}
	if err != nil {
		return sock.None, os.NewSyscallError("pidfd_getfd", err)
	}
	return sock.FD(fd), nil
}

// relisten makes sure that fd still is l: the process may use the number for
// something else by now, which listen(2) would open to clients.
func relisten(fd sock.FD, l Listener, backlog int) (before, after Queue, err error) {
	same, err := isListener(fd, l)
	if err != nil {
		return before, after, err
	}
	if !same {
		return before, after, os.NewSyscallError("pidfd_getfd", unix.ESRCH)
	}
	if before, err = Of(fd); err != nil {
		return before, after, err
	}
	if err = fd.Listen(backlog); err != nil {
		return before, after, err
	}
	after, err = Of(fd)
	return before, after, err
}

// isListener compares cookies, which are never reused; of an MPTCP socket the
// inode, since sock_diag shows the cookie of the TCP socket inside.
func isListener(fd sock.FD, l Listener) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false, nil
	}
	if listening, err := sock.AcceptConn.Get(fd); err != nil || !listening {
		return false, err
	}
	if l.Cookie == 0 || l.MPTCP {
		return uint32(st.Ino) == l.Inode, nil
	}
	cookie, err := sock.Cookie.Get(fd)
	return cookie == l.Cookie, err
}
