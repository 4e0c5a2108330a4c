package steer

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// slotSize is that of a header or a slot: a cache line.
const slotSize = 64

// A header is the first line of the memory that program and members share: the
// one value of an array, so that the program finds all of it at once.
type header struct {
	turn  atomic.Int64 // how many connections have been given
	used  atomic.Int64 // slots that may be taken are below it
	hang  atomic.Int64 // ns: a heartbeat that is older is a hang; 0: none is
	limit atomic.Int64 // connections of a member that is full
	shape atomic.Int64 // policy << 32 | number of slots
	zero  atomic.Int64
	unfit atomic.Int64 // constants of the program, see generator
	none  atomic.Int64
}

// A slot is what is known of a member.
type slot struct {
	counters listen.Counters // the member's
	beat     atomic.Int64    // the member's: CLOCK_MONOTONIC in ns; 0: it never beats
	taken    atomic.Int64    // 1: by a member of the group
	weight   atomic.Int64    // 0: gets nothing
	chosen   atomic.Int64    // the program's: SYNs that it was chosen for
	lost     atomic.Int64    // of chosen: what never came; negative: what came unchosen
	id       atomic.Int64    // of the member that has it or had it last
}

// Offsets that the program uses.
const (
	offTurn  = int16(unsafe.Offsetof(header{}.turn))
	offUsed  = int16(unsafe.Offsetof(header{}.used))
	offHang  = int16(unsafe.Offsetof(header{}.hang))
	offLimit = int16(unsafe.Offsetof(header{}.limit))
	offZero  = int16(unsafe.Offsetof(header{}.zero))
	offUnfit = int16(unsafe.Offsetof(header{}.unfit))
	offNone  = int16(unsafe.Offsetof(header{}.none))

	offAccepted = int16(unsafe.Offsetof(slot{}.counters) + unsafe.Offsetof(listen.Counters{}.Accepted))
	offActive   = int16(unsafe.Offsetof(slot{}.counters) + unsafe.Offsetof(listen.Counters{}.Active))
	offBeat     = int16(unsafe.Offsetof(slot{}.beat))
	offWeight   = int16(unsafe.Offsetof(slot{}.weight))
	offChosen   = int16(unsafe.Offsetof(slot{}.chosen))
	offLost     = int16(unsafe.Offsetof(slot{}.lost))
)

// A compiler error here: a line has grown.
var (
	_ [slotSize]byte = [unsafe.Sizeof(header{})]byte{}
	_ [slotSize]byte = [unsafe.Sizeof(slot{})]byte{}
)

// A board is the array, mapped. It stays mapped for the life of the process,
// since listeners and their connections count in it after everybody else has
// gone.
type board struct {
	*header
	slots []slot
}

// mapBoard maps the array of a descriptor, which stays the caller's.
func mapBoard(fd sock.FD) (board, error) {
	// The header says how many slots there are.
	head, err := mapLines(fd, 1)
	if err != nil {
		return board{}, err
	}
	_, n := (*header)(head).config()
	if n < 1 || n > MaxMembers {
		return board{}, fmt.Errorf("descriptor %d is no board of this package: %w", fd, unix.EINVAL)
	}
	all, err := mapLines(fd, 1+n)
	if err != nil {
		return board{}, err
	}
	return newBoard(all, n), nil
}

// config is what the program was made for.
func (h *header) config() (p Policy, slots int) {
	shape := h.shape.Load()
	return Policy(shape >> 32), int(shape & (1<<32 - 1))
}

func newBoard(all unsafe.Pointer, n int) board {
	return board{(*header)(all), unsafe.Slice((*slot)(unsafe.Add(all, slotSize)), n)}
}

func mapLines(fd sock.FD, n int) (unsafe.Pointer, error) {
	b, err := unix.Mmap(int(fd), 0, n*slotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return unsafe.Pointer(&b[0]), nil
}

// find is the slot of an ID, or nil. A slot keeps the ID of a member that left.
func (b board) find(id int64) *slot {
	for i := range b.slots {
		if b.slots[i].id.Load() == id {
			return &b.slots[i]
		}
	}
	return nil
}

// index is the slot's number in the array of sockets, too.
func (b board) index(s *slot) int {
	return int((uintptr(unsafe.Pointer(s)) - uintptr(unsafe.Pointer(&b.slots[0]))) / slotSize)
}

// reset forgets what a slot has counted.
func (s *slot) reset() {
	s.counters.Active.Store(0)
	s.counters.Accepted.Store(0)
	s.beat.Store(0)
	s.chosen.Store(0)
	s.lost.Store(0)
}

// A clock is CLOCK_MONOTONIC without a system call: Go's own runs on it, from
// another zero.
type clock struct {
	zero time.Time
	at   int64
}

var monotonic = func() clock {
	var t unix.Timespec
	zero := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("clock_gettime CLOCK_MONOTONIC: " + err.Error()) // no kernel lacks it
	}
	return clock{zero, t.Nano()}
}()

func (c clock) now() int64 { return c.at + int64(time.Since(c.zero)) }
