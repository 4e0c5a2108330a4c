package cluster

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handled are the signals that a primary may handle. Their handlers are gone with
// execve, and what they do without would end it before it has new ones.
var handled = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU,
}

func handledSet() (set unix.Sigset_t) {
	const bits = 8 * int(unsafe.Sizeof(set.Val[0]))
	for _, s := range handled {
		n := int(s) - 1
		set.Val[n/bits] |= 1 << (n % bits)
	}
	return set
}

// blockSignals blocks them on this thread, of which the mask survives execve. They
// wait then, until signal.Notify wants them.
func blockSignals() (undo func()) {
	set, old := handledSet(), unix.Sigset_t{}
	if unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old) != nil {
		return func() {}
	}
	return func() { unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }
}

// unblockSignals undoes it after an upgrade, on the thread that forks: a child has
// the mask of the thread that forked it.
func unblockSignals() {
	set := handledSet()
	unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
}
