package steer

import "fmt"

// A Policy is how a program chooses among the members that are neither away, nor
// hang, nor are full; if there are none, among those that are not away.
type Policy int

// Policies.
const (
	// RoundRobin gives each member a connection in turn.
	RoundRobin Policy = iota
	// LeastLoaded chooses the member with the fewest connections for its weight:
	// open ones and those on their way to it.
	LeastLoaded
	// Weighted gives members shares by weight ([reuseport.Group.SetWeight]).
	Weighted
	// SourceHash gives all connections of one client address to one member, as
	// long as the group doesn't change and that member is fit.
	SourceHash
)

var policyNames = [...]string{"round-robin", "least-loaded", "weighted", "source-hash"}

func (p Policy) String() string {
	if p < 0 || int(p) >= len(policyNames) {
		return fmt.Sprintf("policy %d", int(p))
	}
	return policyNames[p]
}
