package survey

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// accepts counts the connections that processes accept, on whatever listener,
// with the kernel's tracepoints of accept(2) and accept4(2). io_uring passes
// them by.
type accepts struct {
	points    []uint64
	first     int // an event of our own
	processes map[int]*counter
	events    int
	since     time.Time
}

// A counter belongs to a process: an event for each tracepoint and each thread
// that it had when we came. Later threads inherit them.
type counter struct {
	events []int
	base   uint64
	whole  bool // it was there when the look began
}

// mostEvents bounds our descriptors. A process that would need more is not counted.
const mostEvents = 2000

// openAccepts is nil where we may not: it needs CAP_PERFMON and tracefs.
func openAccepts() *accepts {
	a := &accepts{processes: map[int]*counter{}, since: time.Now()}
	var err error
	if a.points, err = tracepoints("syscalls/sys_exit_accept4", "syscalls/sys_exit_accept"); err != nil {
		return nil
	}
	// Closing the last event of a tracepoint takes the kernel some 25 ms, so the
	// one that shows whether we may stays open.
	if a.first, err = a.open(a.points[0], 0); err != nil {
		return nil
	}
	return a
}

// tracepoints reads the numbers of tracepoints. Where tracefs isn't mounted, it
// is looked at through a mount of our own that nobody else sees.
func tracepoints(names ...string) ([]uint64, error) {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if ids, err := tracepointsIn(dir, names); err == nil {
			return ids, nil
		}
	}
	context, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen tracefs", err)
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, os.NewSyscallError("fsconfig tracefs", err)
	}
	root, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, os.NewSyscallError("fsmount tracefs", err)
	}
	defer unix.Close(root)
	return tracepointsIn("/proc/self/fd/"+strconv.Itoa(root), names)
}

func tracepointsIn(tracefs string, names []string) (ids []uint64, err error) {
	for _, name := range names {
		b, err := os.ReadFile(tracefs + "/events/" + name + "/id")
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// open counts the calls of a thread that gave a connection; 0 is the caller.
func (a *accepts) open(point uint64, tid int) (int, error) {
	const inheritThread = 1 << 35 // threads inherit it, child processes don't: Linux 5.13
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_TRACEPOINT,
		Config: point,
		Size:   unix.PERF_ATTR_SIZE_VER1,
		Bits:   unix.PerfBitInherit | inheritThread,
	}
	fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("perf_event_open", err)
	}
	if err := unix.IoctlSetString(fd, unix.PERF_EVENT_IOC_SET_FILTER, "ret >= 0"); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("ioctl PERF_EVENT_IOC_SET_FILTER", err)
	}
	return fd, nil
}

// follow begins to count a process.
func (a *accepts) follow(pid int) {
	if a.processes[pid] != nil {
		return
	}
	c := &counter{}
	a.processes[pid] = c
	threads, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if a.events+len(threads)*len(a.points) > mostEvents {
		return
	}
	for _, thread := range threads {
		tid, _ := strconv.Atoi(thread.Name())
		for _, point := range a.points {
			fd, err := a.open(point, tid)
			if errors.Is(err, unix.ESRCH) {
				continue
			}
			if err != nil {
				a.drop(c)
				return
			}
			c.events = append(c.events, fd)
			a.events++
		}
	}
}

// read adds the events up. It is not ok where the process isn't counted.
func (c *counter) read() (sum uint64, ok bool) {
	var b [8]byte
	for _, fd := range c.events {
		if n, err := unix.Read(fd, b[:]); err != nil || n != len(b) {
			return 0, false
		}
		sum += binary.NativeEndian.Uint64(b[:])
	}
	return sum, len(c.events) > 0
}

// mark begins a look, and forgets processes that have ended.
func (a *accepts) mark() {
	for pid, c := range a.processes {
		if unix.Kill(pid, 0) == unix.ESRCH {
			a.drop(c)
			delete(a.processes, pid)
			continue
		}
		c.base, c.whole = c.read()
	}
	a.since = time.Now()
}

// count is what a process accepted during the look.
func (a *accepts) count(pid int) (n uint64, ok bool) {
	c := a.processes[pid]
	if c == nil || !c.whole {
		return 0, false
	}
	sum, ok := c.read()
	return sum - c.base, ok
}

func (a *accepts) drop(c *counter) {
	for _, fd := range c.events {
		unix.Close(fd)
	}
	a.events -= len(c.events)
	c.events = nil
}

// Close stops counting.
func (a *accepts) Close() {
	for _, c := range a.processes {
		a.drop(c)
	}
	unix.Close(a.first)
}
