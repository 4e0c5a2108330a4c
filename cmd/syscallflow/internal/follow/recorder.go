package follow

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/decode"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/tracer"
)

// Config says what is recorded. Its zero value works.
type Config struct {
	Waits  bool // epoll_wait and its like too
	Prefix int  // bytes kept of what is sent and received; 0: 128
	Calls  int  // how many calls are kept; 0: 200,000
	// Listening is called when a socket has begun to listen, or one comes that does,
	// before its program goes on, so that whoever watches it misses nothing.
	Listening func(Listener)
}

// A Listener is a socket that listens.
type Listener struct {
	Socket  recording.SocketID
	Address string
	Cookie  uint64
}

// A Recorder is a tracer.Handler.
type Recorder struct {
	config    Config
	began     int64
	recording *recording.Recording
	processes map[int]*process
	inodes    map[uint64]*socket
	sockets   []*socket
	quick     []recording.Time // how long calls took that never wait
	dropped   int
	uring     map[int]bool
	activity  atomic.Int64
}

// A process has a table of descriptors, its own or shared.
type process struct {
	pid   int
	index int // in recording.Processes
	table *table
	pidfd int // -1: not opened yet
}

// A pending call is one that has not returned.
type pending struct {
	index  int // in recording.Calls; -1: it isn't kept
	call   *decode.Call
	number uint64
	args   [6]uint64
	result *decode.Result
	entry  *entry // of the descriptor that it is about
}

// New makes a Recorder. Time 0 is now.
func New(c Config) *Recorder {
	if c.Prefix == 0 {
		c.Prefix = 128
	}
	if c.Calls == 0 {
		c.Calls = 200_000
	}
	var uts unix.Utsname
	unix.Uname(&uts)
	began := time.Now()
	return &Recorder{
		config: c,
		began:  began.UnixNano(),
		recording: &recording.Recording{
			Began: began, Kernel: unix.ByteSliceToString(uts.Release[:]), Machine: unix.ByteSliceToString(uts.Machine[:]),
		},
		processes: map[int]*process{},
		inodes:    map[uint64]*socket{},
		uring:     map[int]bool{},
	}
}

// Time is a time of CLOCK_REALTIME in the recording.
func (r *Recorder) Time(ns int64) recording.Time { return recording.Time(ns - r.began) }

// Activity is how many calls there have been, waits not counted. It may be called from
// any goroutine.
func (r *Recorder) Activity() int64 { return r.activity.Load() }

// Fork is called by the tracer.
func (r *Recorder) Fork(parent, child int, at int64) {
	p := r.add(parent, child, at)
	from := r.processes[parent]
	if from == nil {
		r.identify(p)
		r.scan(p)
		return
	}
	model := r.recording.Processes[from.index]
	r.recording.Processes[p.index].Name, r.recording.Processes[p.index].Args = model.Name, model.Args
	if sharesFiles(parent, child) {
		p.table = from.table
		return
	}
	p.table = from.table.copy()
}

// Found is called by the tracer.
func (r *Recorder) Found(parent, pid int, at int64) {
	p := r.add(parent, pid, at)
	r.recording.Processes[p.index].Begin = 0
	r.identify(p)
	r.scan(p)
}

// Exec is called by the tracer.
func (r *Recorder) Exec(pid int, at int64) {
	p := r.processes[pid]
	if p == nil {
		p = r.add(0, pid, at)
	}
	r.identify(p)
	// Some descriptors were close-on-exec.
	r.scan(p)
}

// End is called by the tracer.
func (r *Recorder) End(pid int, at int64, status unix.WaitStatus) {
	p := r.processes[pid]
	if p == nil {
		return
	}
	p.close()
	delete(r.processes, pid)
	end := &r.recording.Processes[p.index]
	end.End = r.Time(at)
	end.Status = Status(status)
}

// Status says how a process ended: "exit status 1", "signal: killed".
func Status(s unix.WaitStatus) string {
	if s.Signaled() {
		return "signal: " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

func (r *Recorder) add(parent, pid int, at int64) *process {
	p := &process{pid: pid, index: len(r.recording.Processes), table: newTable(), pidfd: -1}
	r.processes[pid] = p
	begin := recording.Process{PID: pid, Begin: r.Time(at)}
	if r.processes[parent] != nil {
		begin.Parent = parent
	}
	r.recording.Processes = append(r.recording.Processes, begin)
	return p
}

// identify reads what the process runs.
func (r *Recorder) identify(p *process) {
	is := &r.recording.Processes[p.index]
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.pid)); err == nil {
		is.Name = strings.TrimSpace(string(comm))
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid)); err == nil && len(line) > 0 {
		is.Args = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	}
	r.warn(p)
}

// sharesFiles reports whether two processes have one table of descriptors
// (CLONE_FILES). See kcmp(2).
func sharesFiles(a, b int) bool {
	const kcmpFiles = 2
	same, _, errno := unix.RawSyscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), kcmpFiles, 0, 0, 0)
	return errno == 0 && same == 0
}

var _ tracer.Handler = (*Recorder)(nil)
