package capture

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxPorts keeps every jump of a filter within the 255 instructions that a
// conditional jump of classic BPF reaches.
const maxPorts = 100

// keep passes a packet; snapped puts the number of bytes in its place.
const keep = 1

// TCP passes the TCP segments from and to some ports, or all; with handshakes
// only those with SYN or RST, which makes a busy server cheap to watch. More
// than 100 ports pass as all. IPv6 extension headers hide a segment.
func TCP(handshakes bool, ports ...uint16) []bpf.Instruction {
	p := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 6},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 8},
		bpf.LoadAbsolute{Off: 6, Size: 2}, // only a first fragment has a TCP header
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 6},
		bpf.LoadMemShift{Off: 0}, // X is where TCP begins
		bpf.Jump{Skip: 6},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IPV6, SkipTrue: 3},
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1},
		bpf.Jump{Skip: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadConstant{Dst: bpf.RegX, Val: 40},
	}
	if handshakes {
		p = append(p,
			bpf.LoadIndirect{Off: 13, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: uint32(SYN | RST), SkipTrue: 1},
			bpf.RetConstant{Val: 0})
	}
	if len(ports) > 0 && len(ports) <= maxPorts {
		p = append(p, bpf.LoadIndirect{Off: 0, Size: 2})
		p = append(p, oneOf(ports, len(ports)+2)...)
		p = append(p, bpf.LoadIndirect{Off: 2, Size: 2})
		p = append(p, oneOf(ports, 1)...)
		p = append(p, bpf.RetConstant{Val: 0})
	}
	return append(p, bpf.RetConstant{Val: keep})
}

// oneOf jumps beyond its own end, by so many instructions, when A is one of the
// values.
func oneOf(values []uint16, beyond int) (p []bpf.Instruction) {
	for i, v := range values {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(v), SkipTrue: uint8(len(values) - 1 - i + beyond)})
	}
	return p
}

// snapped makes a filter keep snap bytes of what it passes, and puts before it
// what drops one of the two copies that packets of the loopback interface, whose
// index is 1 in every namespace, give: one sent and one received.
func snapped(filter []bpf.Instruction, snap int) []bpf.Instruction {
	p := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 1, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	if filter == nil {
		filter = []bpf.Instruction{bpf.RetConstant{Val: keep}}
	}
	for _, in := range filter {
		if ret, ok := in.(bpf.RetConstant); ok && ret.Val != 0 {
			in = bpf.RetConstant{Val: uint32(snap)}
		}
		p = append(p, in)
	}
	return p
}
