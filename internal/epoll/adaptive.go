package epoll

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// An Adaptive is a Poll for a goroutine that waits often. It waits in the Go
// runtime's poller as long as that hears of events in time, and in a thread of its
// own, which the kernel wakes, when all of the process's CPUs are busy.
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
	late lateness

	// Of the Wait that runs.
	events []unix.EpollEvent
	n      int
	err    error
	slept  bool
}

// NewAdaptive makes one, of three descriptors. Its owner calls Close.
func NewAdaptive() (*Adaptive, error) {
	p, err := New()
	if err != nil {
		return nil, err
	}
	a := &Adaptive{Poll: *p}
	if a.late, err = newLateness(p); err != nil {
		p.Close()
		return nil, err
	}
	// os.NewFile gives only non-blocking descriptors to the poller.
	if err := unix.SetNonblock(int(p.fd), true); err != nil {
		a.late.timer.Close()
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
	if a.late.blocks() {
		n, err = a.Poll.Wait(events, -1)
		return a.late.strip(events, n, false), true, err
	}
	a.events, a.n, a.err, a.slept = events, 0, nil, false
	if err := a.raw.Read(a.try); err != nil {
		return 0, false, err
	}
	n = a.late.strip(events, a.n, a.slept)
	if a.slept {
		a.late.wokenUp()
	}
	return a.strip(events, n), a.slept, a.err
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
	return errors.Join(a.wake.Close(), a.late.timer.Close(), a.file.Close())
}

const (
	probeEvery = 64 // wake-ups
	probeAfter = 5 * time.Millisecond
	// tooLate is well above what a CPU that sleeps, or another process, costs; the
	// runtime's poller is late by up to 10 ms when no P is idle (sysmon).
	tooLate   = 2 * time.Millisecond
	firstRest = time.Second
	lastRest  = 16 * time.Second
)

// lateness measures how late the runtime's poller hears of events: now and then a
// timer of the kernel's is one.
type lateness struct {
	timer   sock.FD
	due     time.Time // of the timer; zero: it isn't set
	wakeups int       // since it was set last

	until time.Time // the runtime's poller has a rest
	rest  time.Duration
}

func newLateness(p *Poll) (lateness, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return lateness{}, os.NewSyscallError("timerfd_create", err)
	}
	l := lateness{timer: sock.FD(fd), wakeups: probeEvery - 1}
	// Edge-triggered: it needn't be read.
	if err := p.Add(l.timer, unix.EPOLLIN|unix.EPOLLET); err != nil {
		l.timer.Close()
		return lateness{}, err
	}
	return l, nil
}

// blocks reports whether to keep out of the runtime's poller for now.
func (l *lateness) blocks() bool {
	if l.until.IsZero() {
		return false
	}
	if time.Now().Before(l.until) {
		return true
	}
	l.until = time.Time{}
	l.wakeups = probeEvery - 1
	return false
}

// wokenUp counts, and sets the timer when it is time for a look.
func (l *lateness) wokenUp() {
	l.wakeups++
	if l.wakeups < probeEvery || !l.due.IsZero() {
		return
	}
	in := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(probeAfter))}
	if unix.TimerfdSettime(int(l.timer), 0, &in, nil) == nil {
		l.due = time.Now().Add(probeAfter)
	}
}

// strip takes the timer out of events. If it ended a sleep in the runtime's
// poller, which began before it was due, it says how late that hears of things.
func (l *lateness) strip(events []unix.EpollEvent, n int, slept bool) int {
	if l.due.IsZero() {
		return n
	}
	for i := range n {
		if sock.FD(events[i].Fd) != l.timer {
			continue
		}
		n--
		events[i] = events[n]
		if slept {
			l.judge(time.Since(l.due))
		}
		l.due, l.wakeups = time.Time{}, 0
		break
	}
	return n
}

func (l *lateness) judge(late time.Duration) {
	if late < tooLate {
		l.rest = 0
		return
	}
	l.rest = min(max(2*l.rest, firstRest), lastRest)
	l.until = time.Now().Add(l.rest)
}
