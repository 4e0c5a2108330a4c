package backlog

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime calls f, and returns what that took of a CPU: the kernel's work for
// its calls too, but not the time in which others had the CPU. By the clock,
// sampling would seem dear, and become rare, just when the machine is busy.
func cpuTime(f func() error) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	err := f()
	return threadTime() - before, err
}

func threadTime() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // can't fail: the clock and &t exist
	return time.Duration(t.Nano())
}

// smooth follows a cost down at once and up slowly, as interrupts are charged to
// whoever runs.
func smooth(cost, measured time.Duration) time.Duration {
	if cost == 0 {
		return measured
	}
	return min(measured, cost+cost/8+10*time.Microsecond)
}
