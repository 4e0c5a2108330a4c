package tracer

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wakeSignal interrupts wait4. The Go runtime ignores it unless somebody asks for it.
const wakeSignal = unix.Signal(40)

// do has the tracing thread run a function, and waits until it has, or tracing is over.
func (t *Tracer) do(f func()) {
	ran := make(chan struct{})
	t.mu.Lock()
	t.commands = append(t.commands, func() { f(); close(ran) })
	t.mu.Unlock()
	// The signal is lost on a thread that isn't in wait4 yet.
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		t.mu.Lock()
		if t.thread != 0 {
			unix.Tgkill(os.Getpid(), t.thread, wakeSignal)
		}
		t.mu.Unlock()
		select {
		case <-ran:
			return
		case <-t.done:
			return
		case <-again.C:
		}
	}
}

func (t *Tracer) runCommands() {
	t.mu.Lock()
	commands := t.commands
	t.commands = nil
	t.mu.Unlock()
	for _, f := range commands {
		f()
	}
}

// kernelSigaction is struct sigaction as rt_sigaction(2) has it.
type kernelSigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const saRestart = 0x10000000

// interruptible makes wakeSignal end a wait4 with EINTR: the runtime has installed its
// handler with SA_RESTART, for all signals.
func interruptible() error {
	var act kernelSigaction
	if err := rtSigaction(nil, &act); err != nil {
		return err
	}
	act.flags &^= saRestart
	return rtSigaction(&act, nil)
}

func rtSigaction(set, old *kernelSigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(wakeSignal),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(set.mask), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("rt_sigaction", errno)
	}
	return nil
}
