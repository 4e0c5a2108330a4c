package sched

import (
	"encoding/binary"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A message of either side is eight bytes, which TCP doesn't split here: the
// CPU time in ns and whether the connection ends with the answer; the worker.
const (
	messageSize = 8
	final       = 1 << 63
)

type message [messageSize]byte

func request(cpu time.Duration, last bool) (m message) {
	v := uint64(cpu)
	if last {
		v |= final
	}
	binary.LittleEndian.PutUint64(m[:], v)
	return m
}

func (m message) request() (cpu time.Duration, last bool) {
	v := binary.LittleEndian.Uint64(m[:])
	return time.Duration(v &^ final), v&final != 0
}

func answer(worker int) (m message) {
	binary.LittleEndian.PutUint64(m[:], uint64(worker))
	return m
}

func (m message) worker() int { return int(binary.LittleEndian.Uint64(m[:])) }

// burn takes that much CPU time, however long it takes.
func burn(cpu time.Duration) {
	if cpu <= 0 {
		return
	}
	runtime.LockOSThread() // the clock is the thread's
	defer runtime.UnlockOSThread()
	for end := threadTime() + cpu; threadTime() < end; {
		spin()
	}
}

// spin takes some microseconds.
func spin() {
	x := uint64(1)
	for range 5000 {
		x = x*6364136223846793005 + 1442695040888963407
	}
	runtime.KeepAlive(x)
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("clock_gettime CLOCK_THREAD_CPUTIME_ID: " + err.Error()) // no kernel lacks it
	}
	return time.Duration(t.Nano())
}
