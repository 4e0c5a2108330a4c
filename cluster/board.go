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
}

// newBoard makes a board and the descriptor by which a worker opens it too. The
// caller owns both.
func newBoard() (*board, sock.FD, error) {
	fd, err := unix.MemfdCreate("onconn-board", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, sock.None, os.NewSyscallError("memfd_create", err)
	}
	if err := unix.Ftruncate(fd, boardSize); err != nil {
		unix.Close(fd)
		return nil, sock.None, os.NewSyscallError("ftruncate", err)
	}
	// A worker that shrank it would kill the primary with SIGBUS.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err != nil {
		unix.Close(fd)
		return nil, sock.None, os.NewSyscallError("fcntl", err)
	}
	b, err := openBoard(sock.FD(fd))
	if err != nil {
		unix.Close(fd)
		return nil, sock.None, err
	}
	return b, sock.FD(fd), nil
}

// openBoard maps the board behind fd, which stays the caller's.
func openBoard(fd sock.FD) (*board, error) {
	memory, err := unix.Mmap(int(fd), 0, boardSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return &board{memory}, nil
}

func (b *board) header() *header {
	return (*header)(unsafe.Pointer(&b.memory[0]))
}

// counters are those of the listener on line n, from 0.
func (b *board) counters(n int) *listen.Counters {
	return (*listen.Counters)(unsafe.Pointer(&b.memory[(n+1)*lineSize]))
}

func (b *board) close() { unix.Munmap(b.memory) }
