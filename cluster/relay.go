package cluster

import (
	"bytes"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A relay brings what a worker writes to its standard error to the primary's,
// and keeps the end of it for the report of a crash. Where the primary's can't be
// written, as on a full disk, the worker doesn't notice.
type relay struct {
	from *os.File
	busy atomic.Bool // has read what it has not written

	mu   sync.Mutex
	last []byte
}

// tailSize is how much of it is kept, in bytes.
const tailSize = 4 << 10

// newPipe makes the pipe of a worker's standard error. Only the end that is read
// is non-blocking. The caller owns both.
func newPipe() (read, write sock.FD, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return sock.None, sock.None, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return sock.None, sock.None, os.NewSyscallError("fcntl", err)
	}
	return sock.FD(fds[0]), sock.FD(fds[1]), nil
}

// newRelay takes ownership of fd, the end of a pipe that is read, or None.
func newRelay(fd sock.FD) *relay {
	if fd == sock.None {
		return &relay{}
	}
	return &relay{from: os.NewFile(uintptr(fd), "stderr")}
}

// run relays until the last process that has the pipe is gone, or close.
func (r *relay) run(p *Primary) {
	defer func() {
		p.gate.RLock() // or an upgrade might name what was just closed
		defer p.gate.RUnlock()
		r.from.Close()
	}()
	raw, err := r.from.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, tailSize)
	for waitReadable(raw) == nil {
		n, err := 0, error(nil)
		p.gate.RLock()
		raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) }) // never waits
		r.keep(buf[:max(n, 0)])
		r.busy.Store(true)
		p.gate.RUnlock()
		if n > 0 {
			p.cfg.Stderr.Write(buf[:n])
		}
		r.busy.Store(false)
		if n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return
		}
	}
}

func (r *relay) keep(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = append(r.last, b...)
	if extra := len(r.last) - tailSize; extra > 0 {
		r.last = append(r.last[:0], r.last[extra:]...)
	}
}

// tail are the last lines that came, at most 20.
func (r *relay) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := bytes.TrimRight(r.last, "\n")
	at := len(b)
	for range 20 {
		if at = bytes.LastIndexByte(b[:at], '\n'); at < 0 {
			return string(b)
		}
	}
	return string(b[at+1:])
}

// rest waits until what a dead worker has written is relayed, for lastWords at
// most: a standard error that nobody reads must not hold it.
func (r *relay) rest() {
	for end := time.Now().Add(lastWords); r.unread() && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
}

func (r *relay) unread() (more bool) {
	if r.from == nil {
		return false
	}
	raw, err := r.from.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ) // FIONREAD
		more = err == nil && n > 0
	})
	return more || r.busy.Load()
}

// descriptor stays the relay's; None: the pipe has ended.
func (r *relay) descriptor() sock.FD {
	if r.from == nil {
		return sock.None
	}
	return descriptorOf(r.from)
}

func (r *relay) close() { r.from.Close() }
