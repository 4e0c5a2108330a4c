package steer

import (
	"fmt"

	"golang.org/x/sys/unix"

	"onconn/listen"
	"onconn/sock"
)

// A Publisher is what a member tells the program of itself. It needs no
// privilege and makes no system calls. Its methods may be called from several
// goroutines.
type Publisher struct{ s *slot }

// OpenPublisher maps the board of a [Program], the third of its descriptors, in
// the process that accepts for the member of that slot ([Program.Slot]). The
// descriptor stays the caller's and may be closed; the memory stays mapped for
// the life of the process.
func OpenPublisher(board sock.FD, slot int) (*Publisher, error) {
	b, err := mapBoard(board)
	if err != nil {
		return nil, err
	}
	if slot < 0 || slot >= len(b.slots) {
		return nil, fmt.Errorf("slot %d of %d: %w", slot, len(b.slots), unix.EINVAL)
	}
	return &Publisher{&b.slots[slot]}, nil
}

// Counters are for [listen.Config.Counters] of the listener that accepts for the
// member.
func (p *Publisher) Counters() *listen.Counters { return &p.s.counters }

// Beat says that the member is alive: one store. Call it where a hang would show,
// as in the loop that accepts or handles events, several times within
// [Config.HangAfter]. A member that has never called it isn't judged.
func (p *Publisher) Beat() { p.s.beat.Store(monotonic.now()) }
