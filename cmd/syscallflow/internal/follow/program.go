package follow

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
)

// warn notes what can't be seen of a program, or is otherwise than without a tracer.
func (r *Recorder) warn(p *process) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/exe", p.pid))
	if err != nil {
		return
	}
	defer f.Close()
	name := r.recording.Processes[p.index].Name
	if narrow(f) {
		r.recording.Unseen = append(r.recording.Unseen, fmt.Sprintf(
			"Process %d (%s) runs a 32-bit program, whose calls have other numbers: they were not traced.", p.pid, name))
	}
	// See ptrace(2) and prctl(2), PR_SET_NO_NEW_PRIVS.
	if st, err := f.Stat(); err == nil && st.Mode()&os.ModeSetuid != 0 && os.Geteuid() != 0 {
		r.recording.Unseen = append(r.recording.Unseen, fmt.Sprintf(
			"Process %d (%s) runs a set-user-ID program, which gets no privilege when an ordinary user traces it.", p.pid, name))
	}
}

// narrow reports whether a program is a 32-bit one, by EI_CLASS of elf(5).
func narrow(program io.Reader) bool {
	var head [elf.EI_CLASS + 1]byte
	_, err := io.ReadFull(program, head[:])
	return err == nil && elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS32
}
