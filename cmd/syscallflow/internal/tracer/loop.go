package tracer

import (
	"os"

	"golang.org/x/sys/unix"
)

// loop takes each stop, tells the handler, and lets the thread go on, until nothing is
// traced any more. It returns how the root ended.
func (t *Tracer) loop(root int) (result unix.WaitStatus, err error) {
	t.root = root
	for {
		t.runCommands()
		if len(t.threads) == 0 {
			break
		}
		tid, status, err := wait4(0)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ECHILD {
			break
		}
		if err != nil {
			return result, os.NewSyscallError("wait4", err)
		}
		at := now()
		if status.Exited() || status.Signaled() {
			if t.remove(tid, at, status) && tid == root {
				result = status
			}
			continue
		}
		t.stop(tid, at, status)
	}
	if t.failure != nil {
		err = <-t.failure
	}
	return result, err
}

// add knows a thread from now on.
func (t *Tracer) add(tid, pid int) *Thread {
	th := &Thread{TID: tid, PID: pid}
	t.threads[tid] = th
	t.processes[pid]++
	return th
}

// remove forgets a thread that has ended, and says whether it was its process's last.
// The kernel reports a leader only when its other threads have gone.
func (t *Tracer) remove(tid int, at int64, status unix.WaitStatus) bool {
	th := t.threads[tid]
	if th == nil {
		return false
	}
	delete(t.threads, tid)
	if t.processes[th.PID]--; tid != th.PID {
		return false
	}
	delete(t.processes, th.PID)
	t.handler.End(th.PID, at, status)
	return true
}

// stop handles one stop of a thread.
func (t *Tracer) stop(tid int, at int64, status unix.WaitStatus) {
	sig, event := status.StopSignal(), int(status>>16)
	th := t.threads[tid]
	if th == nil {
		// A child may stop before its parent reports it.
		if th = t.adopt(tid, at); th == nil {
			ptrace(unix.PTRACE_DETACH, tid, 0, 0)
			return
		}
	}
	if t.detaching {
		t.letGo(th, sig, event)
		return
	}
	switch {
	case sig == unix.SIGTRAP|0x80:
		t.syscallStop(th, at)
	case event == unix.PTRACE_EVENT_SECCOMP:
		t.syscallStop(th, at)
	case event == unix.PTRACE_EVENT_STOP:
		if stops(sig) {
			// A group stop: it stays stopped, and SIGCONT still reaches it.
			ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
			return
		}
		t.resume(th, 0)
	case event == unix.PTRACE_EVENT_FORK, event == unix.PTRACE_EVENT_VFORK, event == unix.PTRACE_EVENT_CLONE:
		if child, err := eventMessage(tid); err == nil {
			t.born(th, child, at)
		}
		t.resume(th, 0)
	case event == unix.PTRACE_EVENT_EXEC:
		t.exec(th, at)
		t.resume(th, 0)
	case event != 0:
		t.resume(th, 0)
	default:
		t.resume(th, sig) // a signal on its way: it gets it
	}
}

// stops reports whether a signal stops a process by default.
func stops(sig unix.Signal) bool {
	return sig == unix.SIGSTOP || sig == unix.SIGTSTP || sig == unix.SIGTTIN || sig == unix.SIGTTOU
}

// syscallStop is at the entry or the exit of a call.
func (t *Tracer) syscallStop(th *Thread, at int64) {
	var i syscallInfo
	if info(th.TID, &i) != nil {
		t.resume(th, 0)
		return
	}
	switch {
	case i.op == infoExit && th.inCall:
		th.inCall = false
		t.handler.Exit(th, at, int64(i.nr))
	case (i.op == infoEntry || i.op == infoSeccomp) && i.arch == auditArch && t.calls[i.nr]:
		th.inCall = t.handler.Enter(th, Call{At: at, Number: i.nr, Args: i.args})
	}
	t.resume(th, 0)
}

// resume lets a thread go on, to the exit of its call or to the next one. ESRCH: it was
// killed meanwhile, and wait4 will say so.
func (t *Tracer) resume(th *Thread, sig unix.Signal) {
	request := unix.PTRACE_CONT
	if th.inCall || t.all {
		request = unix.PTRACE_SYSCALL
	}
	ptrace(request, th.TID, 0, uintptr(sig))
}

// exec: the process has only one thread left, and that has the leader's number
// whatever it had before.
func (t *Tracer) exec(th *Thread, at int64) {
	if former, err := eventMessage(th.TID); err == nil && former != th.TID {
		if old := t.threads[former]; old != nil {
			delete(t.threads, former)
			t.processes[old.PID]--
		}
	}
	th.inCall, th.Pending = false, nil
	t.handler.Exec(th.PID, at)
}
