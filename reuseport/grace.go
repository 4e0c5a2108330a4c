package reuseport

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	membarrierGlobal = 1 // MEMBARRIER_CMD_GLOBAL, Linux 4.3
	standIn          = 10 * time.Millisecond
)

// grace waits until the kernel has finished with each packet that it was at: it
// handles one from the choice of the listener to the table of half-open
// requests, or from there to the accept queue, in one RCU read-side section, and
// membarrier(2) is synchronize_rcu. On a single CPU it does nothing, and needn't:
// we don't run amid a packet. Where it is refused (seccomp, nohz_full), some
// time stands in.
func grace() {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		time.Sleep(standIn)
	}
}
