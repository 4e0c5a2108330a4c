package tracer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// seizeAll seizes processes, and all of their descendants, with all of their threads.
func (t *Tracer) seizeAll(pids []int) error {
	t.all = true
	for _, pid := range pids {
		if err := t.seizeProcess(pid, 0); err != nil {
			t.detach()
			return err
		}
	}
	// What was started before its parent was seized isn't traced by itself.
	for again := true; again; {
		again = false
		for pid, parent := range parents() {
			if t.processes[parent] > 0 && t.processes[pid] == 0 {
				again = t.seizeProcess(pid, parent) == nil || again
			}
		}
	}
	return nil
}

// seizeProcess seizes its threads until there is no new one.
func (t *Tracer) seizeProcess(pid, parent int) error {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	for again := true; again; {
		again = false
		tasks, err := os.ReadDir(dir)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("there is no process %d", pid)
			}
			return err
		}
		for _, task := range tasks {
			tid, _ := strconv.Atoi(task.Name())
			if t.threads[tid] != nil {
				continue
			}
			err := ptrace(unix.PTRACE_SEIZE, tid, 0, options)
			if err == unix.EPERM && t.processes[pid] > 0 {
				continue // a new thread, traced since its birth
			}
			if err == unix.ESRCH {
				continue
			}
			if err != nil {
				return refused(pid, err)
			}
			ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0)
			t.add(tid, pid)
			again = true
		}
	}
	if t.processes[pid] == 0 {
		return fmt.Errorf("there is no process %d", pid)
	}
	t.handler.Found(parent, pid, now())
	return nil
}

// parents maps each process to its parent.
func parents() map[int]int {
	all := map[int]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if _, parent, err := relatives(pid); err == nil {
				all[pid] = parent
			}
		}
	}
	return all
}

// detach lets go of every thread; one must stand still for that, so the others are
// asked to stop first.
func (t *Tracer) detach() {
	if !t.all {
		return // a filter without a tracer makes every traced call fail
	}
	t.detaching = true
	for tid := range t.threads {
		ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0)
	}
}

// letGo detaches a thread that stands still. One in a group stop stays stopped, as it
// was; a signal on its way is delivered.
func (t *Tracer) letGo(th *Thread, sig unix.Signal, event int) {
	if event != 0 || sig == unix.SIGTRAP|0x80 {
		sig = 0
	}
	ptrace(unix.PTRACE_DETACH, th.TID, 0, uintptr(sig))
	delete(t.threads, th.TID)
}
