package sched

import (
	"errors"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A callCounter counts the system calls of processes, in the kernel, by a program
// at the entry of each: some ten ns. It needs CAP_BPF and CAP_PERFMON. A nil one
// counts nothing.
type callCounter struct {
	counts *ebpf.Map // by process; those that aren't in it aren't counted
	link   link.Link
}

func newCallCounter() (c *callCounter, err error) {
	c = new(callCounter)
	c.counts, err = ebpf.NewMap(&ebpf.MapSpec{Name: "onconn_calls", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1024})
	if err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "onconn_calls",
		Type:         ebpf.RawTracepoint,
		Instructions: countCalls(c.counts.FD()),
		License:      "Dual MIT/GPL",
	})
	if err != nil {
		c.counts.Close()
		return nil, err
	}
	defer program.Close()
	c.link, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: program})
	if err != nil {
		c.counts.Close()
		return nil, err
	}
	return c, nil
}

// countCalls is the program. The second argument of sys_enter is the number of
// the call. That of the clock, by which workers know when they have burnt enough,
// isn't theirs.
func countCalls(counts int) asm.Instructions {
	const number, key = 8, -4
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R1, number, asm.DWord),
		asm.JEq.Imm(asm.R1, unix.SYS_CLOCK_GETTIME, "end"),
		asm.FnGetCurrentPidTgid.Call(),
		asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(asm.RFP, key, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, counts),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
		asm.Return(),
	}
}

// from counts from a moment on, and returns what tells the sum.
func (c *callCounter) from(begin time.Time, pids []int) (count func() uint64) {
	if c == nil {
		return func() uint64 { return 0 }
	}
	started := make(chan struct{})
	start := time.AfterFunc(time.Until(begin), func() {
		defer close(started)
		for _, pid := range pids {
			c.counts.Put(uint32(pid), uint64(0))
		}
	})
	return func() (sum uint64) {
		if !start.Stop() {
			<-started
		}
		for _, pid := range pids {
			var n uint64
			if c.counts.Lookup(uint32(pid), &n) == nil {
				sum += n
			}
			c.counts.Delete(uint32(pid))
		}
		return sum
	}
}

func (c *callCounter) close() error { return errors.Join(c.link.Close(), c.counts.Close()) }
