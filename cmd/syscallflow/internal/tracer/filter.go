package tracer

import (
	"errors"

	"golang.org/x/sys/unix"
)

// A Filter is a call to trace, if one of its arguments has one of these values.
type Filter struct {
	Number uint64
	Arg    int      // from 0
	Values []uint32 // none: whatever the arguments are
}

// Offsets in struct seccomp_data.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// assemble makes the program that seccomp(2) runs at each call. It is linear: the
// kernel finds out once which numbers are always allowed, and doesn't run it for them.
// A call of another architecture passes: its numbers mean something else.
func assemble(calls []Filter) ([]unix.SockFilter, error) {
	load := func(offset int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(offset)}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

	p := []unix.SockFilter{
		load(dataArch), equal(auditArch, 1, 0), ret(unix.SECCOMP_RET_ALLOW),
		load(dataNumber),
	}
	for _, c := range calls {
		if len(c.Values) == 0 {
			p = append(p, equal(uint32(c.Number), 0, 1), ret(unix.SECCOMP_RET_TRACE))
			continue
		}
		if len(c.Values) > 100 {
			return nil, errors.New("too many values of an argument")
		}
		p = append(p, equal(uint32(c.Number), 0, uint8(len(c.Values)+3)), load(dataArgs+8*c.Arg))
		for i, v := range c.Values {
			p = append(p, equal(v, uint8(len(c.Values)-i), 0))
		}
		p = append(p, ret(unix.SECCOMP_RET_ALLOW), ret(unix.SECCOMP_RET_TRACE))
	}
	p = append(p, ret(unix.SECCOMP_RET_ALLOW))
	if len(p) > 4096 { // BPF_MAXINSNS
		return nil, errors.New("too many calls to trace")
	}
	return p, nil
}
