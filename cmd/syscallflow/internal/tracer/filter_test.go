package tracer

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// TestFilter runs the program on struct seccomp_data, big-endian as x/net/bpf reads.
func TestFilter(t *testing.T) {
	program, err := assemble([]Filter{{Number: 41}, {Number: 72, Arg: 1, Values: []uint32{0, 1030}}, {Number: 288}})
	if err != nil {
		t.Fatal(err)
	}
	var raw []bpf.RawInstruction
	for _, in := range program {
		raw = append(raw, bpf.RawInstruction{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K})
	}
	instructions, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("not all is understood")
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		number, arch, arg uint32
		want              int
	}{
		{41, auditArch, 9, unix.SECCOMP_RET_TRACE},
		{288, auditArch, 0, unix.SECCOMP_RET_TRACE},
		{72, auditArch, 0, unix.SECCOMP_RET_TRACE},
		{72, auditArch, 1030, unix.SECCOMP_RET_TRACE},
		{72, auditArch, 1, unix.SECCOMP_RET_ALLOW},
		{73, auditArch, 0, unix.SECCOMP_RET_ALLOW},
		{41, 1, 9, unix.SECCOMP_RET_ALLOW},
	} {
		data := make([]byte, 64)
		binary.BigEndian.PutUint32(data[dataNumber:], test.number)
		binary.BigEndian.PutUint32(data[dataArch:], test.arch)
		binary.BigEndian.PutUint32(data[dataArgs+8:], test.arg)
		if got, err := vm.Run(data); err != nil || got != test.want {
			t.Errorf("%+v: %#x, %v", test, got, err)
		}
	}
}

func TestTooManyCalls(t *testing.T) {
	if _, err := assemble(make([]Filter, 5000)); err == nil {
		t.Error("longer than the kernel takes")
	}
	if _, err := assemble([]Filter{{Values: make([]uint32, 300)}}); err == nil {
		t.Error("jumps further than a byte can say")
	}
}
