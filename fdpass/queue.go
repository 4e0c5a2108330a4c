package fdpass

import (
	"fmt"
	"net"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Queue is a handoff queue: a SEQPACKET pair of which one process keeps both
// ends and gives a duplicate of the receive end to another. The kernel gives
// each record to exactly one receiver, so what the other process hasn't taken
// can be taken back at any time with Steal, even while it runs. Its methods may
// be called from several goroutines.
type Queue struct {
	mu      sync.RWMutex // held for writing by Close only
	send    sock.FD
	receive sock.FD
	closed  bool

	sending sync.Mutex
	batch   *batch
}

// NewQueue makes a queue.
func NewQueue() (*Queue, error) {
	send, receive, err := sock.Pair(sock.SeqPacket)
	if err != nil {
		return nil, err
	}
	return &Queue{send: send, receive: receive, batch: newBatch()}, nil
}

// OwnQueue makes a queue of both ends of one that exists, as in a process that
// executed itself anew, and owns them from then on; when it fails they are still
// the caller's. EINVAL: they aren't of SEQPACKET sockets.
func OwnQueue(send, receive sock.FD) (*Queue, error) {
	for _, fd := range []sock.FD{send, receive} {
		t, err := sock.SockType.Get(fd)
		if err != nil {
			return nil, err
		}
		if t != sock.SeqPacket {
			return nil, fmt.Errorf("fdpass: descriptor %d is no end of a queue: %w", fd, unix.EINVAL)
		}
		unix.CloseOnExec(int(fd))
	}
	return &Queue{send: send, receive: receive, batch: newBatch()}, nil
}

// SendEnd is the descriptor that records go into; the queue owns it. After
// EAGAIN epoll(7) reports it writable only when three quarters of the queue are
// free again. Shutting it down (unix.SHUT_WR) ends the queue: the worker gets
// what waits and then io.EOF, and Steal still works.
func (q *Queue) SendEnd() sock.FD { return q.send }

// ReceiveEnd is the descriptor that records come out of, to be duplicated into
// a worker and wrapped in a [Receiver] there; the queue owns it.
func (q *Queue) ReceiveEnd() sock.FD { return q.receive }

// Send puts records in, without waiting, and returns how many went in. If that
// isn't all, err says why. The descriptors remain the caller's, to close at
// once: a connection lives on in the queue.
//
// EAGAIN: the queue is full. It is also EAGAIN, and ETOOMANYREFS, when too many
// descriptors of this user are in flight in all queues together, which
// RLIMIT_NOFILE of this process limits if it has neither CAP_SYS_RESOURCE nor
// CAP_SYS_ADMIN; [Queue.SendEnd] may be writable then. EPIPE: the worker has
// shut the receive end down. EBADF: a descriptor isn't open.
func (q *Queue) Send(rs []Record) (n int, err error) {
	if err := q.rlock(); err != nil {
		return 0, err
	}
	defer q.mu.RUnlock()
	q.sending.Lock()
	defer q.sending.Unlock()
	for n < len(rs) && err == nil {
		var sent int
		sent, err = q.batch.send(q.send, rs[n:])
		n += sent
	}
	return n, err
}

// Len is the number of records that wait.
func (q *Queue) Len() (int, error) {
	if err := q.rlock(); err != nil {
		return 0, err
	}
	defer q.mu.RUnlock()
	bytes, err := ioctl(q.receive, unix.SIOCINQ)
	return bytes / recordSize, err
}

// Steal takes back the record that has waited longest. The caller owns the
// descriptor. EAGAIN: none waits; io.EOF: the queue was shut down too. EMFILE
// and ECONNABORTED: as in [Receiver.Accept], for this process.
func (q *Queue) Steal() (sock.FD, sock.Addr, error) {
	if err := q.rlock(); err != nil {
		return sock.None, sock.Addr{}, err
	}
	defer q.mu.RUnlock()
	if spare(q.receive, openLimit()) == 0 {
		return noSpare(q.receive)
	}
	return receiveRecord(q.receive)
}

// Close closes both ends. A worker that has the receive end still gets what
// waits, and io.EOF after that; if none has, the connections that wait end.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return net.ErrClosed
	}
	q.closed = true
	err := q.send.Close()
	if err2 := q.receive.Close(); err == nil {
		err = err2
	}
	return err
}

func (q *Queue) rlock() error {
	q.mu.RLock()
	if q.closed {
		q.mu.RUnlock()
		return net.ErrClosed
	}
	return nil
}

func ioctl(s sock.FD, request uintptr) (int, error) {
	var v int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(s), request, uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return 0, os.NewSyscallError("ioctl", errno)
	}
	return int(v), nil
}
