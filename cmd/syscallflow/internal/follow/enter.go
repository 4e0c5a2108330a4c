package follow

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/decode"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/tracer"
)

// Enter is called by the tracer.
func (r *Recorder) Enter(t *tracer.Thread, c tracer.Call) bool {
	call, p := decode.Calls[c.Number], r.processes[t.PID]
	if call == nil || p == nil {
		return false
	}
	fd := -1
	var e *entry
	if i := call.Descriptor(); i >= 0 {
		fd = int(int32(c.Args[i]))
		e = p.table.entries[fd]
	}
	switch {
	case c.Number == unix.SYS_FCNTL && !slices.Contains(duplicates, uint32(c.Args[1])):
		return false // without a filter they come too
	case anyFile[call.Name] && (e == nil || e.socket == nil):
		return r.passes(p, call, c.Args, fd)
	case waits[call.Name] && call.Polls(c.Args):
		return false // it doesn't wait
	case call.Name == "io_uring_setup":
		r.sawRing(p)
		return false
	case call.Name == "close":
		// Before the call: afterwards another thread may have got the number.
		delete(p.table.entries, fd)
	case e == nil && fd >= 0 && call.OnSockets():
		if e = r.learn(p, fd); e.socket != nil {
			p.put(fd, e) // it came unseen
		}
	}

	if !waits[call.Name] {
		r.activity.Add(1)
	}
	w, _ := t.Pending.(*pending)
	if w == nil {
		w = &pending{}
		t.Pending = w
	}
	*w = pending{index: -1, call: call, number: c.Number, args: c.Args, entry: e}
	w.result = call.Enter(tracer.Memory(t.PID), c.Args, r.config.Prefix)
	if len(r.recording.Calls) >= r.config.Calls {
		r.dropped++
		return true
	}
	w.index = len(r.recording.Calls)
	rc := recording.Call{PID: t.PID, Name: call.Name, Begin: r.Time(c.At)}
	if t.TID != t.PID {
		rc.TID = t.TID
	}
	if fd >= 0 {
		rc.FD = e.fd(fd)
	}
	for _, number := range w.result.Rights {
		rc.Passed = append(rc.Passed, *r.known(p, number).fd(number))
	}
	fill(&rc, w.result)
	r.recording.Calls = append(r.recording.Calls, rc)
	if e.listens() && (call.Name == "accept" || call.Name == "accept4") {
		r.measure(p, fd, e.socket, rc.Begin)
	}
	return true
}

// passes handles a call on what is no socket, and lets it go on. dup2 and dup3 may
// close one all the same.
func (r *Recorder) passes(p *process, call *decode.Call, args [6]uint64, fd int) bool {
	switch call.Name {
	case "close":
		delete(p.table.entries, fd)
	case "dup2", "dup3":
		if to := int(int32(args[1])); to != fd {
			delete(p.table.entries, to)
		}
	}
	return false
}

// known is what a number means, if need be by asking the kernel.
func (r *Recorder) known(p *process, number int) *entry {
	if e := p.table.entries[number]; e != nil {
		return e
	}
	e := r.learn(p, number)
	if e.socket != nil {
		p.put(number, e)
	}
	return e
}

// sawRing notes that there is more than can be seen.
func (r *Recorder) sawRing(p *process) {
	if r.uring[p.pid] {
		return
	}
	r.uring[p.pid] = true
	is := r.recording.Processes[p.index]
	r.recording.Unseen = append(r.recording.Unseen, fmt.Sprintf(
		"Process %d (%s) uses io_uring: what it does that way are no system calls, and can't be seen.", p.pid, is.Name))
}
