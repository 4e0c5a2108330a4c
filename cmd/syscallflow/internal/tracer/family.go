package tracer

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// born: a thread has made a thread, or a process.
func (t *Tracer) born(parent *Thread, tid int, at int64) {
	if t.early[tid] {
		delete(t.early, tid) // it has stopped already, and may even be dead
		return
	}
	if t.threads[tid] != nil {
		return
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", parent.PID, tid)); err == nil {
		t.add(tid, parent.PID)
		return
	}
	t.add(tid, tid)
	t.handler.Fork(parent.PID, tid, at)
}

// adopt knows a thread that is traced since its birth by what /proc says of it. It
// stands still, and so does its parent.
func (t *Tracer) adopt(tid int, at int64) *Thread {
	pid, parent, err := relatives(tid)
	if err != nil {
		return nil
	}
	t.early[tid] = true
	th := t.add(tid, pid)
	if pid == tid {
		t.handler.Fork(parent, pid, at)
	}
	return th
}

// relatives reads the process of a thread and that one's parent.
func relatives(tid int) (pid, parent int, err error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan() && (pid == 0 || parent == 0); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "Tgid":
			pid, err = strconv.Atoi(strings.TrimSpace(value))
		case "PPid":
			parent, err = strconv.Atoi(strings.TrimSpace(value))
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return pid, parent, nil
}
