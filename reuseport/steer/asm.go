package steer

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Of struct sk_reuseport_md and others of include/uapi/linux.
const (
	mdData        = 0
	mdDataEnd     = 8
	mdEthProtocol = 20

	tcpFlags  = 13 // in the TCP header, where the data begins
	flagSYN   = 0x02
	flagACK   = 0x10
	ipSource  = 12
	ip6Source = 8
	netHeader = 1 // BPF_HDR_START_NET
	pass      = 1 // SK_PASS
)

// Places on the program's stack.
const (
	atKey     = -4
	atSYN     = -16 // 1 for a SYN, 0 for the ACK of a SYN cookie
	atTurn    = -24
	atOldest  = -32
	atAddress = -48
)

// Registers that keep their meaning. The first four survive calls.
const (
	rCtx    = asm.R6
	rStart  = asm.R7 // the place that is asked first
	rBest   = asm.R8 // the least score so far; or what is left of a sum
	rBoard  = asm.R9
	rLimit  = asm.R3 // connections that make a member full
	rOldest = asm.R4 // a heartbeat before it is a hang
	rUsed   = asm.R5 // places
)

// A score is a number of which the least wins. From its lowest bit on it is the
// place, its distance from rStart, the load, and whether the member is unfit.
const (
	bitsPlace    = 10
	bitsDistance = 10
	shiftLoad    = bitsPlace + bitsDistance
	scaleLoad    = 17 // before it is divided by the weight
	unfit        = 1 << 62
	none         = -1 // above all scores
)

// A generator writes a program that the verifier doesn't find too complex. There
// are no loops in it, though kernels have them since 5.3: the verifier follows
// each way through several rounds at once. And what is compared often comes from
// the board, also constants: as soon as the verifier can foretell a comparison,
// it tells apart all ways that lead there.
type generator struct {
	asm.Instructions
	board, sockets int // descriptors
	members        int
	next           string // label of the next instruction
}

func (g *generator) add(all ...asm.Instruction) {
	for _, i := range all {
		if g.next != "" {
			i, g.next = i.WithSymbol(g.next), ""
		}
		g.Instructions = append(g.Instructions, i)
	}
}

func (g *generator) label(name string) {
	if g.next != "" { // an instruction has one label
		g.add(asm.Ja.Label(name))
	}
	g.next = name
}

// generate makes the program of a policy:
//
//	take a turn
//	by turns or weights: find the fit member that the turn falls to
//	else, or if none is fit: that with the least score, fit ones before others
//	select its socket, and count
//	if that can't be, any other socket of a member that isn't away
//	or none: the kernel's hash decides
func generate(p Policy, members, board, sockets int) asm.Instructions {
	g := &generator{board: board, sockets: sockets, members: members}
	g.begin()
	if p == SourceHash {
		g.startBySource()
	} else {
		g.startByTurn()
	}
	g.restore()
	if p == RoundRobin || p == Weighted {
		g.byShare(p)
	}
	g.scan(p)
	g.label("found")
	g.selectBest()
	g.selectAny()
	g.label("pass")
	g.add(asm.Mov.Imm(asm.R0, pass), asm.Return())
	return g.Instructions
}

func (g *generator) begin() {
	g.add(
		asm.Mov.Reg(rCtx, asm.R1),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, atKey, asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, g.board),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, atKey),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Reg(rBoard, asm.R0),
		asm.LoadMem(asm.R1, rBoard, offUsed, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, "pass"),

		// The ACK of a SYN cookie asks too, but its SYN has taken the turn.
		asm.Mov.Imm(asm.R4, 0),
		asm.LoadMem(asm.R1, rCtx, mdData, asm.DWord),
		asm.LoadMem(asm.R2, rCtx, mdDataEnd, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, tcpFlags+1),
		asm.JGT.Reg(asm.R3, asm.R2, "flags"),
		asm.LoadMem(asm.R1, asm.R1, tcpFlags, asm.Byte),
		asm.And.Imm(asm.R1, flagSYN|flagACK),
		asm.JNE.Imm(asm.R1, flagSYN, "flags"),
		asm.Mov.Imm(asm.R4, 1),
	)
	g.label("flags")
	g.add(
		asm.StoreMem(asm.RFP, atSYN, asm.R4, asm.DWord),
		fetchAdd(rBoard, asm.R4, offTurn),
		asm.StoreMem(asm.RFP, atTurn, asm.R4, asm.DWord),

		asm.Mov.Imm(asm.R0, 0),
		asm.LoadMem(asm.R1, rBoard, offHang, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, "clock"),
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, rBoard, offHang, asm.DWord),
		asm.Sub.Reg(asm.R0, asm.R1),
	)
	g.label("clock")
	g.add(asm.StoreMem(asm.RFP, atOldest, asm.R0, asm.DWord))
}

// fetchAdd adds src to memory and leaves in src what was there. Not by
// asm.FetchAdd: up to v0.22 its encoding loses the bit that says "fetch", and
// the program loads all the same.
func fetchAdd(dst, src asm.Register, offset int16) asm.Instruction {
	const fetch = 1 // BPF_FETCH
	return asm.Instruction{OpCode: asm.AddAtomic.OpCode(asm.DWord), Dst: dst, Src: src, Offset: offset, Constant: fetch}
}

func (g *generator) startByTurn() {
	g.add(
		asm.LoadMem(rStart, asm.RFP, atTurn, asm.DWord),
		asm.LoadMem(asm.R1, rBoard, offUsed, asm.DWord),
		asm.Mod.Reg(rStart, asm.R1),
	)
}

// startBySource hashes the client's address without its port.
func (g *generator) startBySource() {
	load := func(offset, size int32) {
		g.add(
			asm.Mov.Reg(asm.R1, rCtx),
			asm.Mov.Imm(asm.R2, offset),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, atAddress),
			asm.Mov.Imm(asm.R4, size),
			asm.Mov.Imm(asm.R5, netHeader),
			asm.FnSkbLoadBytesRelative.Call(),
		)
	}
	g.add(
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, atAddress, asm.R1, asm.DWord),
		asm.StoreMem(asm.RFP, atAddress+8, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, rCtx, mdEthProtocol, asm.Word),
		asm.JEq.Imm(asm.R1, networkOrder(unix.ETH_P_IPV6), "ip6"),
	)
	load(ipSource, 4)
	g.add(asm.Ja.Label("mix"))
	g.label("ip6")
	load(ip6Source, 16)
	g.label("mix")
	const odd = 0x1e3779b97f4a7c15
	g.add(
		asm.LoadMem(rStart, asm.RFP, atAddress, asm.DWord),
		asm.LoadMem(asm.R1, asm.RFP, atAddress+8, asm.DWord),
		asm.LoadImm(asm.R2, odd, asm.DWord),
		asm.Mul.Reg(asm.R1, asm.R2),
		asm.Xor.Reg(rStart, asm.R1),
		asm.Mul.Reg(rStart, asm.R2),
		asm.Mov.Reg(asm.R1, rStart),
		asm.RSh.Imm(asm.R1, 32),
		asm.Xor.Reg(rStart, asm.R1),
		asm.Mul.Reg(rStart, asm.R2),
		asm.RSh.Imm(rStart, 33),
		asm.LoadMem(asm.R1, rBoard, offUsed, asm.DWord),
		asm.Mod.Reg(rStart, asm.R1),
	)
}

func networkOrder(v uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// restore loads the registers that calls have spoiled.
func (g *generator) restore() {
	g.veil(rStart)
	g.add(
		asm.LoadMem(rOldest, asm.RFP, atOldest, asm.DWord),
		asm.LoadMem(rLimit, rBoard, offLimit, asm.DWord),
	)
}

// veil hides from the verifier what it knows of a number.
func (g *generator) veil(r asm.Register) {
	g.add(asm.LoadMem(asm.R1, rBoard, offZero, asm.DWord), asm.Add.Reg(r, asm.R1))
}

// each writes the body for each place that isn't away. It has the weight in R1,
// and jumps to next to be done with the place.
func (g *generator) each(pass string, body func(name string, place int, next string)) {
	end := pass + " end"
	g.add(asm.LoadMem(rUsed, rBoard, offUsed, asm.DWord)) // anew, see generator
	for i := range g.members {
		name := fmt.Sprintf("%s %d ", pass, i)
		next := name + "next"
		g.add(
			asm.JLE.Imm(rUsed, int32(i), end),
			g.word(asm.R1, i, offWeight),
			asm.JEq.Imm(asm.R1, 0, next),
		)
		body(name, i, next)
		g.label(next)
	}
	g.label(end)
}

// word loads a word of a place's slot.
func (g *generator) word(dst asm.Register, place int, offset int16) asm.Instruction {
	return asm.LoadMem(dst, rBoard, slotAt(place)+offset, asm.DWord)
}

func slotAt(place int) int16 { return int16((1 + place) * slotSize) }

// fit jumps if a member hangs or is full. It leaves its load in R2: connections
// that are open, and those that it was chosen for and hasn't accepted yet.
func (g *generator) fit(name string, place int, unfit string) {
	g.add(
		g.word(asm.R2, place, offActive),
		g.word(asm.R0, place, offChosen),
		g.word(asm.R1, place, offAccepted),
		asm.Sub.Reg(asm.R0, asm.R1),
		g.word(asm.R1, place, offLost),
		asm.Sub.Reg(asm.R0, asm.R1),
		asm.JSLE.Imm(asm.R0, 0, name+"load"),
		asm.Add.Reg(asm.R2, asm.R0),
	)
	g.label(name + "load")
	g.add(
		g.word(asm.R0, place, offBeat),
		asm.JEq.Imm(asm.R0, 0, name+"beats"),
		asm.JSLT.Reg(asm.R0, rOldest, unfit),
	)
	g.label(name + "beats")
	g.add(
		asm.JGE.Reg(asm.R2, rLimit, unfit),
	)
}

// scan leaves the least score in rBest.
func (g *generator) scan(p Policy) {
	g.add(asm.LoadMem(rBest, rBoard, offNone, asm.DWord))
	g.each("scan", func(name string, place int, next string) {
		g.fit(name, place, name+"unfit")
		g.add(asm.LoadMem(asm.R0, rBoard, offZero, asm.DWord), asm.Ja.Label(name+"score"))
		g.label(name + "unfit")
		g.add(asm.LoadMem(asm.R0, rBoard, offUnfit, asm.DWord))
		g.label(name + "score")
		if p == LeastLoaded {
			g.add(
				g.word(asm.R1, place, offWeight),
				asm.LSh.Imm(asm.R2, scaleLoad),
				asm.Div.Reg(asm.R2, asm.R1),
				asm.LSh.Imm(asm.R2, shiftLoad),
				asm.Or.Reg(asm.R0, asm.R2),
			)
		}
		g.add(
			asm.Mov.Imm(asm.R1, int32(place)),
			asm.Sub.Reg(asm.R1, rStart),
			asm.JSGE.Imm(asm.R1, 0, name+"distance"),
			asm.Add.Reg(asm.R1, rUsed),
		)
		g.label(name + "distance")
		g.add(
			asm.LSh.Imm(asm.R1, bitsPlace),
			asm.Or.Imm(asm.R1, int32(place)),
			asm.Or.Reg(asm.R0, asm.R1),
			asm.JGE.Reg(asm.R0, rBest, next),
			asm.Mov.Reg(rBest, asm.R0),
		)
	})
	g.veil(rBest)
	g.add(asm.JEq.Imm(rBest, none, "pass"))
}

// byShare leaves in rBest the place into whose share of the fit ones' sum the turn
// falls. By turns each has the same share: were it for the scan, the place after
// one that is away or unfit would have the turns of both. By weight, turns times
// the golden ratio spread evenly over the sum, at any time and in any order of
// weights. If none is fit, it goes on to the scan.
func (g *generator) byShare(p Policy) {
	g.add(asm.LoadMem(rBest, rBoard, offZero, asm.DWord))
	g.each("sum", func(name string, place int, next string) {
		g.fit(name, place, next)
		g.share(p, place)
		g.add(asm.Add.Reg(rBest, asm.R1))
	})
	g.add(asm.LoadMem(asm.R1, asm.RFP, atTurn, asm.DWord))
	if p == Weighted {
		g.add(
			asm.LoadImm(asm.R2, 0x9e3779b1, asm.DWord),
			asm.Mul.Reg(asm.R1, asm.R2),
			asm.LSh.Imm(asm.R1, 32),
			asm.RSh.Imm(asm.R1, 32),
			asm.Mul.Reg(rBest, asm.R1),
			asm.RSh.Imm(rBest, 32),
		)
	} else {
		g.add(
			asm.Mod.Reg(asm.R1, rBest), // by 0 it stays as it is
			asm.Mov.Reg(rBest, asm.R1),
		)
	}
	g.veil(rBest)
	g.each("share", func(name string, place int, next string) {
		g.fit(name, place, next)
		g.share(p, place)
		g.add(
			asm.JGE.Reg(rBest, asm.R1, name+"over"),
			asm.LoadMem(rBest, rBoard, offZero, asm.DWord),
			asm.Or.Imm(rBest, int32(place)),
			asm.Ja.Label("found"),
		)
		g.label(name + "over")
		g.add(asm.Sub.Reg(rBest, asm.R1))
	})
}

// share leaves in R1 that of a place.
func (g *generator) share(p Policy, place int) {
	if p == Weighted {
		g.add(g.word(asm.R1, place, offWeight))
		return
	}
	g.add(asm.LoadMem(asm.R1, rBoard, offZero, asm.DWord), asm.Add.Imm(asm.R1, 1))
}

// selectBest selects the socket of the place in rBest, counts and ends.
func (g *generator) selectBest() {
	g.veil(rBest)
	g.add(
		asm.And.Imm(rBest, 1<<bitsPlace-1),
		asm.StoreMem(asm.RFP, atKey, rBest, asm.Word),
	)
	g.selectKey("any")
	g.add(asm.LoadMem(asm.R2, asm.RFP, atSYN, asm.DWord))
	g.count(0, g.members)
	g.label("any")
}

// selectKey selects the socket whose number is on the stack.
func (g *generator) selectKey(fails string) {
	g.add(
		asm.Mov.Reg(asm.R1, rCtx),
		asm.LoadMapPtr(asm.R2, g.sockets),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, atKey),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSkSelectReuseport.Call(),
		asm.JNE.Imm(asm.R0, 0, fails),
	)
}

// count adds R2 to what the place in rBest was chosen for, by a search: an
// offset that isn't constant would need CAP_PERFMON besides CAP_BPF.
func (g *generator) count(from, to int) {
	if to-from == 1 {
		g.chosen(from)
		return
	}
	half := (from + to) / 2
	high := fmt.Sprintf("count %d", half)
	g.add(asm.JGE.Imm(rBest, int32(half), high))
	g.count(from, half)
	g.label(high)
	g.count(half, to)
}

func (g *generator) chosen(place int) {
	g.add(
		asm.AddAtomic.Mem(rBoard, asm.R2, asm.DWord, slotAt(place)+offChosen),
		asm.Mov.Imm(asm.R0, pass),
		asm.Return(),
	)
}

// selectAny is for a slot whose socket has gone: left to the kernel, it would be
// the hash over all members, also those that are away.
func (g *generator) selectAny() {
	g.each("other", func(_ string, place int, next string) {
		failed := next + " failed"
		g.add(
			asm.Mov.Imm(asm.R1, int32(place)),
			asm.StoreMem(asm.RFP, atKey, asm.R1, asm.Word),
		)
		g.selectKey(failed)
		g.add(asm.LoadMem(asm.R2, asm.RFP, atSYN, asm.DWord))
		g.chosen(place)
		g.label(failed)
		g.add(asm.LoadMem(rUsed, rBoard, offUsed, asm.DWord))
	})
}
