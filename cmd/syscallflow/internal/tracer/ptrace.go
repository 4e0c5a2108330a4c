package tracer

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// options of every tracee: what it starts is traced too.
const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

// ptrace never blocks, so the Go scheduler needn't hear of it.
func ptrace(request, tid int, addr, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Operations of struct ptrace_syscall_info.
const (
	infoEntry   = 1
	infoExit    = 2
	infoSeccomp = 3
)

// syscallInfo is struct ptrace_syscall_info of an entry or a stop by seccomp; of an
// exit, nr is the value.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	nr   uint64
	args [6]uint64
	data uint32
	_    uint32
}

// info asks why a thread stands still. It writes to *i.
func info(tid int, i *syscallInfo) error {
	n, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(*i), uintptr(unsafe.Pointer(i)), 0, 0)
	if errno != 0 {
		return errno
	}
	if n < 24 {
		return unix.EINVAL
	}
	return nil
}

func eventMessage(tid int) (int, error) {
	var msg uintptr
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GETEVENTMSG, uintptr(tid), 0,
		uintptr(unsafe.Pointer(&msg)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(msg), nil
}

// wait4 waits for what this thread traces and for its own children, no others:
// __WNOTHREAD leaves those of other threads to whoever started them.
func wait4(flags int) (tid int, status unix.WaitStatus, err error) {
	var s int32
	n, _, errno := unix.Syscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&s)),
		uintptr(unix.WALL|unix.WNOTHREAD|flags), 0, 0, 0)
	if errno != 0 {
		return 0, 0, errno
	}
	return int(n), unix.WaitStatus(s), nil
}

// now is CLOCK_REALTIME, by which the kernel stamps packets.
func now() int64 { return time.Now().UnixNano() }

// Memory is that of a process that stands still.
type Memory int

// Read reads as much as there is, and returns how much that was.
func (m Memory) Read(addr uint64, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	n := m.read(addr, p)
	// One unreadable page fails all before it too: the kernel goes by the iovec.
	for n < len(p) {
		rest := 4096 - int((addr+uint64(n))%4096)
		more := m.read(addr+uint64(n), p[n:min(n+rest, len(p))])
		if more <= 0 {
			break
		}
		n += more
	}
	return n
}

func (m Memory) read(addr uint64, p []byte) int {
	n, errno := m.readv(addr, p)
	if errno != 0 {
		return 0
	}
	return n
}

func (m Memory) readv(addr uint64, p []byte) (int, syscall.Errno) {
	local := unix.Iovec{Base: &p[0]}
	local.SetLen(len(p))
	remote := unix.RemoteIovec{Base: uintptr(addr), Len: len(p)}
	n, _, errno := unix.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(m), uintptr(unsafe.Pointer(&local)), 1,
		uintptr(unsafe.Pointer(&remote)), 1, 0)
	return int(n), errno
}

// readable says why memory can't be read at all: nothing is at address 0, so EFAULT is
// the right answer.
func (m Memory) readable() error {
	if _, errno := m.readv(0, make([]byte, 1)); errno != 0 && errno != unix.EFAULT {
		return fmt.Errorf("read the memory of a traced process: a container's seccomp profile may forbid it: %w",
			os.NewSyscallError("process_vm_readv", errno))
	}
	return nil
}
