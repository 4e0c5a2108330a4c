package reuseport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"onconn/backlog"
)

// A Relation is what an outsider's socket does to a group.
type Relation int

// Relations.
const (
	// Shares: it is in the kernel's group, gets its share of the connections and
	// has a place that classic programs don't know of.
	Shares Relation = iota
	// Hides: it is bound more closely than the group, to one address, to IPv4
	// or to an interface, and gets all connections that fit.
	Hides
	// Behind: the group is bound more closely, and it gets what doesn't fit the
	// group.
	Behind
)

func (r Relation) String() string {
	return [...]string{"shares", "hides", "behind"}[r]
}

// An Outsider is a socket that listens on the group's port and isn't of it.
type Outsider struct {
	backlog.Listener
	Relation Relation
	Owners   []backlog.Owner // who has it; none that we may see if empty
}

// String says who it is and what it means.
func (o Outsider) String() string {
	who := fmt.Sprintf("a process of uid %d", o.UID)
	if len(o.Owners) > 0 {
		who = o.Owners[0].String()
	}
	switch o.Relation {
	case Hides:
		return fmt.Sprintf("%s listens on %v too and is bound more closely: it gets every connection that fits it, the group none of these", who, o.Addr)
	case Behind:
		return fmt.Sprintf("%s listens on %v too and gets what the group's address leaves", who, o.Addr)
	}
	return fmt.Sprintf("%s listens on %v too: the kernel's hash gives it a share, and it upsets the order that classic programs go by", who, o.Addr)
}

// Outsiders finds the sockets of others on the group's port. Sockets of other
// users can't be there in the same group; they, and sockets without
// SO_REUSEPORT, keep the group from listening, and Listen and Join name them
// then. It lists the listeners of the namespace and looks through /proc: some
// milliseconds.
func (g *Group) Outsiders() ([]Outsider, error) {
	all, err := g.outsiders()
	return all, g.fail("outsiders", err)
}

func (g *Group) outsiders() ([]Outsider, error) {
	members := g.Members()
	if len(members) == 0 {
		return nil, net.ErrClosed
	}
	ours := map[uint64]bool{}
	for _, m := range members {
		ours[m.cookie] = true
	}
	diag, err := g.namespace(members[0].Descriptor())
	if err != nil {
		return nil, err
	}
	listeners, err := diag.Listeners()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(listeners, func(l backlog.Listener) bool { return ours[l.Cookie] })
	if i < 0 {
		return nil, fmt.Errorf("none of the group's sockets is listed: %w", os.ErrNotExist)
	}
	us := listeners[i]
	var found []Outsider
	var inodes []uint32
	for _, l := range listeners {
		if ours[l.Cookie] || l.Addr.Port() != us.Addr.Port() {
			continue
		}
		if r, meets := relate(us, l); meets {
			found = append(found, Outsider{Listener: l, Relation: r})
			inodes = append(inodes, l.Inode)
		}
	}
	var owners backlog.Owners
	by := owners.Find(inodes)
	for i := range found {
		found[i].Owners = by[found[i].Inode]
	}
	return found, nil
}

// relate says what they do to us, if one connection could go to either. The
// kernel prefers an interface, then a family, then an address to none
// (compute_score).
func relate(us, they backlog.Listener) (r Relation, meets bool) {
	if us.Interface != they.Interface && us.Interface != 0 && they.Interface != 0 {
		return 0, false
	}
	a, b := scope(us), scope(they)
	if !a.meets(b) {
		return 0, false
	}
	switch mine, theirs := a.score(us), b.score(they); {
	case mine < theirs:
		return Hides, true
	case mine > theirs:
		return Behind, true
	}
	return Shares, true
}

// A reach is what a socket is bound to.
type reach struct {
	addr netip.Addr
	dual bool // :: that takes IPv4 too
}

func scope(l backlog.Listener) reach {
	a := l.Addr.AddrPort().Addr()
	return reach{a, a == netip.IPv6Unspecified() && !l.V6Only}
}

func (r reach) meets(o reach) bool {
	if r.addr.Is4() != o.addr.Is4() {
		return r.dual || o.dual
	}
	return r.addr.IsUnspecified() || o.addr.IsUnspecified() || r.addr == o.addr
}

func (r reach) score(l backlog.Listener) (s int) {
	if l.Interface != 0 {
		s += 4
	}
	if !r.addr.IsUnspecified() {
		s += 2
	}
	if !r.dual {
		s++
	}
	return s
}
