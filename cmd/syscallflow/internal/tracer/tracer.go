package tracer

import (
	"errors"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A Handler is told what happens, all from one goroutine. The thread that it is told
// about stands still meanwhile, so its memory and its descriptors can be read.
type Handler interface {
	// Enter: a thread is about to make a call. Exit will follow if it returns true,
	// unless the thread dies in it.
	Enter(t *Thread, c Call) (exit bool)
	// Exit: the call has returned. A value from -4095 on is a negative errno.
	Exit(t *Thread, at int64, value int64)
	// Fork: a process has a new child.
	Fork(parent, child int, at int64)
	// Found: a process that runs already is traced from now on. Of its parent it may not
	// be a copy any more. The parent is 0, or traced too.
	Found(parent, pid int, at int64)
	// Exec: a process runs another program. Its other threads have gone.
	Exec(pid int, at int64)
	// End: a process has gone.
	End(pid int, at int64, status unix.WaitStatus)
}

// A Thread is one that is traced. Pending is the handler's own, from Enter to Exit.
type Thread struct {
	TID, PID int
	Pending  any

	inCall bool // its exit is wanted
}

// A Call is a system call that begins.
type Call struct {
	At     int64 // CLOCK_REALTIME in ns, when the tracer noticed
	Number uint64
	Args   [6]uint64
}

// A Tracer traces one program, or processes that run already. Its methods may be
// called from any goroutine.
type Tracer struct {
	handler Handler
	calls   map[uint64]bool
	filters []unix.SockFilter

	threads   map[int]*Thread
	processes map[int]int  // threads of each
	early     map[int]bool // threads that were seen before who made them reported it
	root      int
	all       bool // no filter: every call stops
	detaching bool
	failure   chan error // why the program could not be started; closed once it runs

	mu       sync.Mutex
	commands []func()
	thread   int // that does all ptrace(2); 0: it hasn't begun, or is done
	done     chan struct{}
}

// New makes a tracer of these calls.
func New(h Handler, calls []Filter) (*Tracer, error) {
	program, err := assemble(calls)
	if err != nil {
		return nil, err
	}
	if err := interruptible(); err != nil {
		return nil, err
	}
	t := &Tracer{
		handler:   h,
		calls:     map[uint64]bool{},
		filters:   program,
		threads:   map[int]*Thread{},
		processes: map[int]int{},
		early:     map[int]bool{},
		done:      make(chan struct{}),
	}
	for _, c := range calls {
		t.calls[c.Number] = true
	}
	return t, nil
}

// A Command is a program to run. What is nil is that of this process.
type Command struct {
	Args                  []string
	Env                   []string
	Stdin, Stdout, Stderr *os.File
}

// Run starts a program, and traces it until the last of its processes has gone. It
// returns how the program ended. If this process dies, they all die. A Tracer runs once.
func (t *Tracer) Run(c Command) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	if len(c.Args) == 0 {
		return 0, errors.New("no program to run")
	}
	err := t.onThread(func() error {
		root, err := t.start(c)
		if err != nil {
			return err
		}
		status, err = t.loop(root)
		return err
	})
	return status, err
}

// Attach traces processes that run already, and their descendants, until they have
// gone or Detach is called. Without a filter every one of their calls stops.
func (t *Tracer) Attach(pids []int) error {
	return t.onThread(func() error {
		if err := t.seizeAll(pids); err != nil {
			return err
		}
		_, err := t.loop(0)
		return err
	})
}

// onThread runs f on a thread of its own: only the thread that attached may use
// ptrace(2). The thread ends with it, so that nothing stays attached.
func (t *Tracer) onThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		t.mu.Lock()
		t.thread = unix.Gettid()
		t.mu.Unlock()
		err := f()
		t.mu.Lock()
		t.thread = 0
		t.mu.Unlock()
		close(t.done)
		result <- err
	}()
	return <-result
}

// Detach lets go of processes that were attached. They run on as before.
func (t *Tracer) Detach() { t.do(t.detach) }

// Signal sends a signal to the program that was started, or if it has gone, to all its
// descendants.
func (t *Tracer) Signal(sig unix.Signal) {
	t.do(func() {
		if t.root != 0 && t.processes[t.root] > 0 {
			unix.Kill(t.root, sig)
			return
		}
		t.signalAll(sig)
	})
}

// Kill ends all that was started.
func (t *Tracer) Kill() { t.do(func() { t.signalAll(unix.SIGKILL) }) }

func (t *Tracer) signalAll(sig unix.Signal) {
	for pid := range t.processes {
		unix.Kill(pid, sig)
	}
}

// Done is closed when Run or Attach is at its end.
func (t *Tracer) Done() <-chan struct{} { return t.done }

// errExec is what became of a program that could not be started.
func errExec(path string, err error) error {
	return &os.PathError{Op: "exec", Path: path, Err: err}
}
