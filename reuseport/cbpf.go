package reuseport

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// MaxMembers is how many members a classic program can choose among.
const MaxMembers = 1024

// anyMember returns a number that no member has: then the kernel's hash chooses.
var anyMember = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1}}

func attach(fd sock.FD, program []unix.SockFilter) error {
	err := sock.AttachReusePortCBPF.Set(fd, program)
	if errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: a program of %d instructions, raise net.core.optmem_max", err, len(program))
	}
	return err
}

// detach leaves the choice to the kernel's hash.
func detach(fd sock.FD) error {
	err := sock.DetachReusePortBPF.Set(fd, struct{}{})
	if errors.Is(err, unix.ENOENT) { // there is no program
		return nil
	}
	return err
}

// Of include/uapi/linux/filter.h. Offsets from netOff are into the IP header,
// wherever the data begins.
const (
	netOff     = 1<<32 - 0x100000 // SKF_NET_OFF
	adOff      = 1<<32 - 0x1000   // SKF_AD_OFF
	adProtocol = adOff + 0
	adCPU      = adOff + 36
)

// hashKey leaves a hash of addresses and ports in A. The packet's own hash
// (SKF_AD_RXHASH) may be 0, and is another when a client repeats its SYN.
// After a SYN cookie the ACK asks the program again, and gets the same answer.
func hashKey() []unix.SockFilter {
	xorWord := func(at uint32) []unix.SockFilter {
		return []unix.SockFilter{
			{Code: unix.BPF_MISC | unix.BPF_TAX},
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: netOff + at},
			{Code: unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X},
			{Code: unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, K: 0x9e3779b1},
		}
	}
	v6 := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: netOff + 40}} // ports
	for at := uint32(8); at < 40; at += 4 {
		v6 = append(v6, xorWord(at)...)
	}
	v4 := []unix.SockFilter{
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: netOff}, // the header's length
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_IND, K: netOff},  // ports
		{Code: unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, K: 0x85ebca6b},
	}
	v4 = append(v4, xorWord(12)...)
	v4 = append(v4, xorWord(16)...)

	p := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: adProtocol},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_IPV6, Jf: uint8(len(v6) + 1)},
	}
	p = append(p, v6...)
	p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(v4))})
	p = append(p, v4...)
	// The low bits of a product are the poorer ones, and mod takes these.
	return append(p,
		unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 15},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, K: 0x2c1b3c6d},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 8},
	)
}

// cpuKey leaves the number of the CPU in A.
func cpuKey() []unix.SockFilter {
	return []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: adCPU}}
}

// A span is a range of keys, up to but not including end, that goes to one
// member, or to one after the other: key minus base.
type span struct {
	end    uint32
	member int  // its index in the kernel's array
	run    bool // the keys of the span are those of successive members
	first  uint32
}

// choose is a program that computes a key, takes it modulo the end of the last
// span and returns the member.
func choose(key []unix.SockFilter, spans []span) []unix.SockFilter {
	mod := unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: spans[len(spans)-1].end}
	return append(append(key, mod), find(spans)...)
}

// find is a binary search: with a thousand members ten comparisons.
func find(spans []span) []unix.SockFilter {
	if len(spans) == 1 {
		return spans[0].ret()
	}
	half := len(spans) / 2
	low, high := find(spans[:half]), find(spans[half:])
	jump := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: spans[half-1].end}
	if len(low) <= 255 { // a conditional jump goes no further
		jump.Jt = uint8(len(low))
		return append(append([]unix.SockFilter{jump}, low...), high...)
	}
	jump.Jf = 1
	far := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(low))}
	return append(append([]unix.SockFilter{jump, far}, low...), high...)
}

func (s span) ret() []unix.SockFilter {
	if !s.run {
		return []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: uint32(s.member)}}
	}
	return []unix.SockFilter{
		{Code: unix.BPF_ALU | unix.BPF_ADD | unix.BPF_K, K: uint32(s.member) - s.first},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
}

// evenly gives each place that isn't away one key.
func evenly(places []Place) []span {
	var spans []span
	key := uint32(0)
	for i, p := range places {
		if p.Away {
			continue
		}
		if i == 0 || places[i-1].Away {
			spans = append(spans, span{member: i, run: true, first: key})
		}
		key++
		spans[len(spans)-1].end = key
	}
	return spans
}

// byWeight gives each place that isn't away as many keys as it weighs.
func byWeight(places []Place) []span {
	var spans []span
	key := uint32(0)
	for i, p := range places {
		if !p.Away {
			key += uint32(p.Weight)
			spans = append(spans, span{end: key, member: i})
		}
	}
	return spans
}
