package epoll

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Adaptive is a Poll for a goroutine that waits often. It waits in the Go
// runtime's poller as long as a P is left to ask that, and in a thread of its own,
// which the kernel wakes, while other goroutines keep all of them busy.
//
// A thread that blocks in a system call costs more than the call: sysmon takes its
// P away and stays awake to do so. In the runtime's poller the process sleeps as a
// whole, sysmon too, until the first call that is announced to the scheduler
// (entersyscall); so what doesn't block is asked by RawSyscall here.
type Adaptive struct {
	Poll
	file *os.File // owns fd, and is in the runtime's poller
	raw  syscall.RawConn
	try  func(uintptr) bool // ask, made once so that Wait needs no closure
	busy saturation

	// Of the Wait that runs.
	events []unix.EpollEvent
	n      int
	err    error
	slept  bool
}

// NewAdaptive makes one, of two descriptors. Its owner calls Close.
func NewAdaptive() (*Adaptive, error) {
	p, err := New()
	if err != nil {
		return nil, err
	}
	a := &Adaptive{Poll: *p, busy: newSaturation()}
	// os.NewFile gives only non-blocking descriptors to the poller.
	if err := unix.SetNonblock(int(p.fd), true); err != nil {
		p.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	a.file = os.NewFile(uintptr(p.fd), "epoll")
	a.try = a.ask
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Wait is Poll.Wait without a timeout, and says whether it had to wait at all. It
// doesn't do for descriptors that were added with EPOLLEXCLUSIVE: nobody sits in
// epoll_wait, so the kernel goes on and wakes others too (ep_poll_callback).
func (a *Adaptive) Wait(events []unix.EpollEvent) (n int, slept bool, err error) {
	if a.busy.blocks {
		n, err = a.Poll.Wait(events, -1)
		a.busy.look()
		return n, true, err
	}
	a.events, a.n, a.err, a.slept = events, 0, nil, false
	if err := a.raw.Read(a.try); err != nil {
		return 0, false, err
	}
	if a.slept {
		a.busy.look()
	}
	return a.strip(events, a.n), a.slept, a.err
}

// ask reports whether anything is ready. The runtime's poller hears of each event
// that comes after it, whatever epoll holds already (ep_poll_callback).
func (a *Adaptive) ask(uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(a.fd), uintptr(unsafe.Pointer(&a.events[0])),
		uintptr(len(a.events)), 0, 0, 0)
	switch errno {
	case 0:
		a.n = int(n)
	case unix.EINTR:
	default:
		a.err = os.NewSyscallError("epoll_pwait", errno)
	}
	a.slept = a.slept || a.n == 0
	return a.n > 0 || a.err != nil
}

// Close ends it. No other method may run meanwhile or later.
func (a *Adaptive) Close() error {
	return errors.Join(a.wake.Close(), a.file.Close())
}
