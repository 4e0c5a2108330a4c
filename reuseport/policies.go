package reuseport

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Hash spreads connections evenly by a hash of addresses and ports: the
// kernel's own while no member is away, else a classic program's. Which member a
// client gets changes when members come, go or step aside.
type Hash struct{}

// Weighted spreads connections by such a hash too, by the weights of the
// members: [Group.SetWeight].
type Weighted struct{}

// ByCPU gives a connection to the member whose number is that of the CPU that
// the SYN came by, modulo the number of members. It keeps a connection on one
// CPU where network queues (RSS) and workers are pinned, and is uneven
// elsewhere. [IncomingCPU] does it without a program.
type ByCPU struct{}

// String is "hash".
func (Hash) String() string { return "hash" }

// String is "weighted".
func (Weighted) String() string { return "weighted" }

// String is "cpu".
func (ByCPU) String() string { return "cpu" }

// Steer implements [Steering].
func (Hash) Steer(places []Place) error {
	for _, p := range places {
		if p.Away {
			return program(places, hashKey(), evenly(places))
		}
	}
	return detach(places[0].Socket)
}

// Steer implements [Steering].
func (Weighted) Steer(places []Place) error { return program(places, hashKey(), byWeight(places)) }

// Steer implements [Steering].
func (ByCPU) Steer(places []Place) error { return program(places, cpuKey(), evenly(places)) }

// Stop implements [Steering].
func (Hash) Stop(places []Place) error { return detach(places[0].Socket) }

// Stop implements [Steering].
func (Weighted) Stop(places []Place) error { return detach(places[0].Socket) }

// Stop implements [Steering].
func (ByCPU) Stop(places []Place) error { return detach(places[0].Socket) }

func program(places []Place, key []unix.SockFilter, spans []span) error {
	if len(places) > MaxMembers {
		return fmt.Errorf("%d members: classic programs choose among %d at most: %w", len(places), MaxMembers, unix.E2BIG)
	}
	return attach(places[0].Socket, choose(key, spans))
}
