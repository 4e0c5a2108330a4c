package fdpass

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// batchSize is the most records that one sendmmsg(2) sends.
const batchSize = 16

// A batch is the memory of one sendmmsg(2), made once per queue.
type batch struct {
	msgs    [batchSize]unix.Mmsghdr
	iovs    [batchSize]unix.Iovec
	records [batchSize]wireRecord
	control [batchSize]oneRight
}

// oneRight is rights for a single descriptor.
type oneRight struct {
	unix.Cmsghdr
	fd int32
	_  [4]byte // CMSG_SPACE rounds up
}

func newBatch() *batch {
	b := new(batch)
	for i := range batchSize {
		c := &b.control[i]
		c.Level = unix.SOL_SOCKET
		c.Type = unix.SCM_RIGHTS
		c.SetLen(unix.CmsgLen(4))
		b.iovs[i].Base = &b.records[i][0]
		b.iovs[i].SetLen(recordSize)
		m := &b.msgs[i].Hdr
		m.Iov = &b.iovs[i]
		m.SetIovlen(1)
		m.Control = (*byte)(unsafe.Pointer(c))
		m.SetControllen(unix.CmsgSpace(4))
	}
	return b
}

// send makes one system call for at most batchSize records, and returns how
// many went; an error comes only with none.
func (b *batch) send(s sock.FD, rs []Record) (int, error) {
	n := min(len(rs), batchSize)
	for i, r := range rs[:n] {
		b.records[i].encode(r.Peer)
		b.control[i].fd = int32(r.FD)
	}
	// It can't block, so the Go scheduler needn't know: see sock.FD.Recv.
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	for {
		call, sent, errno := "sendmsg", uintptr(1), unix.Errno(0)
		if n == 1 {
			_, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(s), uintptr(unsafe.Pointer(&b.msgs[0].Hdr)), flags)
		} else {
			call = "sendmmsg"
			sent, _, errno = unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s),
				uintptr(unsafe.Pointer(&b.msgs)), uintptr(n), flags, 0, 0)
		}
		switch errno {
		case 0:
			return int(sent), nil
		case unix.EINTR:
		case unix.ETOOMANYREFS:
			return 0, errInFlight
		default:
			return 0, failed(call, errno)
		}
	}
}

// errInFlight is both errnos: for the sender it is a queue that takes no more.
var errInFlight = os.NewSyscallError("sendmsg",
	fmt.Errorf("%w: too many descriptors of this user are in flight; raise RLIMIT_NOFILE of the sender: %w",
		unix.ETOOMANYREFS, unix.EAGAIN))
