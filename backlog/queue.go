package backlog

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Queue is the accept queue of one listening socket, in connections.
type Queue struct {
	Depth int // connections that wait for accept(2)
	Limit int // the backlog that listen(2) granted
}

// Capacity is how many connections the queue holds: one more than its limit.
// The kernel refuses the next one when Depth is greater than Limit
// (sk_acceptq_is_full, unix_recvq_full).
func (q Queue) Capacity() int { return q.Limit + 1 }

// Of reads the accept queue of a listening socket: TCP and MPTCP from TCP_INFO
// without allocating, unix sockets from unix_diag. EINVAL: the socket doesn't
// listen. ENOENT: a unix socket of another network namespace than the calling
// thread's. errors.ErrUnsupported: the kernel shows no queue of that family
// (vsock). The caller keeps owning fd.
func Of(fd sock.FD) (Queue, error) {
	domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return Queue{}, os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	switch domain {
	case unix.AF_INET, unix.AF_INET6:
		return tcpQueue(fd)
	case unix.AF_UNIX:
		return unixQueue(fd)
	}
	return Queue{}, fmt.Errorf("accept queue of a %v socket: %w", sock.Family(domain), errors.ErrUnsupported)
}

// errNotListening is made once, as a poller may meet it often.
var errNotListening = os.NewSyscallError("getsockopt TCP_INFO", unix.EINVAL)

func tcpQueue(fd sock.FD) (Queue, error) {
	var info unix.TCPInfo
	n := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return Queue{}, os.NewSyscallError("getsockopt TCP_INFO", errno)
	}
	if info.State != tcpListen {
		return Queue{}, errNotListening
	}
	// tcp_get_info: a listener has its queue in the fields of segments.
	return Queue{Depth: int(info.Unacked), Limit: int(info.Sacked)}, nil
}

func unixQueue(fd sock.FD) (Queue, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		return Queue{}, os.NewSyscallError("fstat", err)
	}
	d, err := openDiag()
	if err != nil {
		return Queue{}, err
	}
	defer d.Close()
	s, err := unixByInode(d, uint32(st.Ino))
	if err != nil {
		return Queue{}, err
	}
	if s.state != tcpListen {
		return Queue{}, os.NewSyscallError("unix_diag", unix.EINVAL)
	}
	return Queue{Depth: int(s.depth), Limit: int(s.limit)}, nil
}
