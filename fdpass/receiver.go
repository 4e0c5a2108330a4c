package fdpass

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// Receiver is a worker's end of a [Queue]: a [sock.Source].
type Receiver struct {
	fd sock.FD

	mu     sync.Mutex
	left   int       // records to receive before the next look at the table
	looked time.Time // when that was last
	limit  int       // of descriptors, at that look
}

var _ sock.Source = (*Receiver)(nil)

// lookAgain is how long a look at the table of descriptors holds.
const lookAgain = time.Millisecond

var errFull = os.NewSyscallError("recvmsg", unix.EMFILE)

// NewReceiver makes one of fd, a duplicate of [Queue.ReceiveEnd]. The Receiver
// doesn't close it.
func NewReceiver(fd sock.FD) *Receiver { return &Receiver{fd: fd} }

// Descriptor is readable when a connection waits, or the queue has ended.
func (r *Receiver) Descriptor() sock.FD { return r.fd }

// Accept takes one connection from the queue, and its peer's address. The
// caller owns the descriptor, which is close-on-exec and as non-blocking as the
// sender's. It never blocks and allocates nothing.
//
// EAGAIN: the queue is empty. io.EOF: it is empty, and the sender has gone.
// EMFILE: connections wait, but the process has no more than 32 descriptors
// left under RLIMIT_NOFILE; they stay in the queue, since the kernel would close
// them. Accept goes on when there are more again. ECONNABORTED: one message was
// dropped, because it was no record or because other goroutines took the last
// descriptors in the same moment ([ErrTruncated] too then).
func (r *Receiver) Accept() (sock.FD, sock.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Whoever lowers the limit from outside, by prlimit(2), may do so at any
	// time; a look that was before says nothing then.
	now, limit := time.Now(), openLimit()
	if r.left == 0 || limit != r.limit || now.Sub(r.looked) > lookAgain {
		r.left, r.looked, r.limit = spare(r.fd, limit), now, limit
		if r.left == 0 {
			return noSpare(r.fd)
		}
	}
	r.left--
	return receiveRecord(r.fd)
}

// noSpare is the result when a record can't be received: EMFILE only if one
// waits.
func noSpare(s sock.FD) (sock.FD, sock.Addr, error) {
	err := waiting(s)
	if err == nil {
		err = errFull
	}
	return sock.None, sock.Addr{}, err
}
