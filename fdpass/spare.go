package fdpass

import (
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A process that has no free descriptor number loses what recvmsg brings: the
// kernel closes the descriptor, sets MSG_CTRUNC and reports no error (see
// scm_detach_fds in the kernel). So receiving stops before.
const (
	// margin is how many numbers are left free: for other goroutines, which may
	// open files between the look at the table and recvmsg.
	margin = 32
	// burst is how many records are received after one look.
	burst = 16
)

// spare returns how many records may be received before the next look: none if
// no more than margin numbers are free under the limit. fd is any descriptor.
//
// The number of a descriptor says nothing about the numbers above it, so the
// lowest free one doesn't do: a full table may have a hole.
func spare(fd sock.FD, limit int) int {
	open, ok := openCount()
	if !ok {
		return max(0, spareByTaking(fd, margin+burst)-margin)
	}
	free := limit - open - margin
	if free <= 0 {
		return 0
	}
	// The closer to the limit, the sooner the next look.
	return max(1, min(free/64, burst))
}

// openLimit is how many descriptors this process may have open.
func openLimit() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// table is /proc/self/fd, held open for the life of the process: None until it is
// opened, and -2 where it can't count.
var table atomic.Int64

func init() { table.Store(int64(sock.None)) }

const cannotCount = -2

func descriptorTable() int {
	if fd := table.Load(); fd != int64(sock.None) {
		return int(fd)
	}
	fd, err := unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.EMFILE, unix.ENFILE: // the next time it may do
		return cannotCount
	default:
		fd = cannotCount
	}
	if n, ok := sizeOf(fd); fd >= 0 && (!ok || n == 0) {
		unix.Close(fd)
		fd = cannotCount
	}
	if !table.CompareAndSwap(int64(sock.None), int64(fd)) && fd >= 0 { // somebody was faster
		unix.Close(fd)
	}
	return int(table.Load())
}

// openCount is the number of open descriptors of this process: the size of
// /proc/self/fd since Linux 6.2.
func openCount() (int, bool) {
	fd := descriptorTable()
	if fd < 0 {
		return 0, false
	}
	return sizeOf(fd)
}

// sizeOf is fstat(2) by statx(2), whose result is the same on all architectures, so
// that RawSyscall does: /proc never waits for a disk.
func sizeOf(fd int) (int, bool) {
	var (
		st   unix.Statx_t
		path [1]byte
	)
	_, _, errno := unix.RawSyscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&path)),
		unix.AT_EMPTY_PATH, unix.STATX_SIZE, uintptr(unsafe.Pointer(&st)), 0)
	return int(st.Size), errno == 0
}

// spareByTaking finds out by taking up to n descriptors, which are closed again.
func spareByTaking(fd sock.FD, n int) (free int) {
	taken := make([]sock.FD, 0, margin+burst)
	for len(taken) < n {
		d, err := fd.Dup()
		if err != nil {
			break
		}
		taken = append(taken, d)
	}
	for _, d := range taken {
		d.Close()
	}
	return len(taken)
}
