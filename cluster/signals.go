package cluster

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// With execve the handlers of a primary's signals are gone, and what the signals
// do without would end it before the new program has its own (signal.Notify).
// Those of waits are blocked meanwhile. Go's runtime unblocks SIGHUP, SIGINT and
// SIGTERM as it starts; SIGHUP, which asks to go on, is ignored instead. The others
// ask for the end, and get it.
var waits = []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU}

func waitsSet() (set unix.Sigset_t) {
	const bits = 8 * int(unsafe.Sizeof(set.Val[0]))
	for _, s := range waits {
		n := int(s) - 1
		set.Val[n/bits] |= 1 << (n % bits)
	}
	return set
}

// keepSignals has this thread, which is about to execute a program, leave none
// that ends it.
func keepSignals() (undo func()) {
	set, old := waitsSet(), unix.Sigset_t{}
	unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old)
	hangup := setAction(syscall.SIGHUP, &action{handler: sigIgn})
	return func() {
		setAction(syscall.SIGHUP, &hangup)
		unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	}
}

// unblockSignals undoes it after an upgrade, on the thread that forks: a child has
// the mask of the thread that forked it.
func unblockSignals() {
	set := waitsSet()
	unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
}

// hangupIgnored reports whether SIGHUP is ignored.
func hangupIgnored() bool {
	now := setAction(syscall.SIGHUP, nil)
	return now.handler == sigIgn
}

// NoHangup reports whether SIGHUP was ignored when this process began, before any
// upgrade: as nohup(1) has it.
func NoHangup() bool { return born.noHangup }

// heedHangup undoes the ignoring of SIGHUP in a program that doesn't want it.
func heedHangup() {
	if hangupIgnored() {
		setAction(syscall.SIGHUP, &action{})
	}
}

// An action is struct sigaction of the kernel. See rt_sigaction(2).
type action struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const sigIgn = 1

// setAction sets what a signal does, unless it is nil, and returns what it did.
func setAction(s syscall.Signal, to *action) (old action) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(old.mask), 0, 0)
	return old
}
