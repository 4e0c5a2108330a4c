package cluster

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// A board is a worker's scoreboard: memory that it shares with the primary, so
// that its counters cost nobody a system call. The worker writes, the primary
// reads, except for wanted.
type board struct {
	memory []byte
	file   sock.FD // of the memory, in the primary; else None
}

// A line holds the counters of one listener, alone on its cache line.
const (
	boardSize = 64 << 10
	lineSize  = 64
	// maxListeners is how many listeners one worker can have at a time; the
	// first line is the worker's own.
	maxListeners = boardSize/lineSize - 1
)

// header is a board's first line.
type header struct {
	// wanted is set by the primary when no worker has room, and cleared by the
	// worker that then has some and says so.
	wanted atomic.Bool
	// alive is when the worker last answered a ping, in nanoseconds of
	// CLOCK_MONOTONIC.
	alive atomic.Int64
}

// A line is one listener of the worker.
type line struct {
	listen.Counters
	// waiting is how many of the worker's goroutines are inside of Accept.
	waiting atomic.Int64
	// missed is set by the primary when the worker takes nothing, and cleared by
	// the worker when it waits in Accept again.
	missed atomic.Bool
}

// newBoard makes a board, whose file a worker opens too.
func newBoard() (*board, error) {
	fd, err := unix.MemfdCreate("onconn-board", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	if err := unix.Ftruncate(fd, boardSize); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("ftruncate", err)
	}
	// A worker that shrank it would kill the primary with SIGBUS.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return ownBoard(sock.FD(fd))
}

// ownBoard is openBoard for the primary, which keeps fd for its own successor.
func ownBoard(fd sock.FD) (*board, error) {
	b, err := openBoard(fd)
	if err != nil {
		fd.Close()
		return nil, err
	}
	b.file = fd
	return b, nil
}

// openBoard maps the board behind fd, which stays the caller's.
func openBoard(fd sock.FD) (*board, error) {
	memory, err := unix.Mmap(int(fd), 0, boardSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return &board{memory, sock.None}, nil
}

func (b *board) header() *header {
	return (*header)(unsafe.Pointer(&b.memory[0]))
}

// line is that of the n-th listener, from 0.
func (b *board) line(n int) *line {
	return (*line)(unsafe.Pointer(&b.memory[(n+1)*lineSize]))
}

func (b *board) close() {
	unix.Munmap(b.memory)
	if b.file != sock.None {
		b.file.Close()
	}
}
