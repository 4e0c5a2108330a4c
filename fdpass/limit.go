package fdpass

import (
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// SetLimit bounds how many records can wait, through the send buffer
// (SO_SNDBUF), and returns the limit in effect: the kernel grants at least about
// 6, and at most what net.core.wmem_max allows. Without it the limit comes from
// net.core.wmem_default, 278 as a rule. Records that wait already stay.
func (q *Queue) SetLimit(n int) (granted int, err error) {
	if n < 1 {
		return 0, os.NewSyscallError("setsockopt SO_SNDBUF", unix.EINVAL)
	}
	if err := q.rlock(); err != nil {
		return 0, err
	}
	defer q.mu.RUnlock()
	cost, err := recordCost()
	if err != nil {
		return 0, err
	}
	n = min(n, math.MaxInt32/cost)
	// The kernel doubles the number, and lets one more in while less than all
	// of it is used. See sk_set_sndbuf and sock_alloc_send_pskb.
	if err := unix.SetsockoptInt(int(q.send), unix.SOL_SOCKET, unix.SO_SNDBUF, n*cost/2); err != nil {
		return 0, os.NewSyscallError("setsockopt SO_SNDBUF", err)
	}
	size, err := unix.GetsockoptInt(int(q.send), unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt SO_SNDBUF", err)
	}
	return (size + cost - 1) / cost, nil
}

// recordCost is what this kernel charges the send buffer for a record: its
// skb's truesize, which differs between kernels and so is measured. A process
// that had no descriptor for that may have one the next time.
func recordCost() (int, error) {
	measured.Lock()
	defer measured.Unlock()
	if measured.cost > 0 {
		return measured.cost, nil
	}
	send, receive, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		return 0, err
	}
	defer send.Close()
	defer receive.Close()
	if _, err := newBatch().send(send, []Record{{FD: send}}); err != nil {
		return 0, err
	}
	measured.cost, err = ioctl(send, unix.SIOCOUTQ)
	return measured.cost, err
}

var measured struct {
	sync.Mutex
	cost int // 0: not yet
}
