package sock

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls that can't block are made by RawSyscall. Syscall announces each to the Go
// scheduler (entersyscall), which costs little by itself, but when the process has
// slept it wakes sysmon, a thread that looks 50 times and more whether the call has
// blocked: with a few hundred connections a second that is most of their cost.

// Nonblocking reports whether O_NONBLOCK is set. See fcntl(2), F_GETFL.
func (fd FD) Nonblocking() (bool, error) {
	flags, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFL, 0)
	if errno != 0 {
		return false, os.NewSyscallError("fcntl", errno)
	}
	return flags&unix.O_NONBLOCK != 0, nil
}

// CheckSocket is ENOTSOCK, or EBADF, if fd is no socket.
func (fd FD) CheckSocket() error {
	var typ int32
	n := uint32(unsafe.Sizeof(typ))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_TYPE,
		uintptr(unsafe.Pointer(&typ)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return os.NewSyscallError("getsockopt", errno)
	}
	return nil
}

// closesAtOnce reports whether fd is a socket without SO_LINGER: the close of
// others may wait, for the network or for a disk. (That of a packet socket waits
// for the kernel's readers, some ms; it is rare.)
func (fd FD) closesAtOnce() bool {
	var l unix.Linger
	n := uint32(unsafe.Sizeof(l))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(&n)), 0)
	return errno == 0 && l.Onoff == 0
}
