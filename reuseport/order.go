package reuseport

import "slices"

// An order is the array of a group in the kernel (struct sock_reuseport).
type order []*Member

// join appends, as reuseport_add_sock does at listen(2).
func (o *order) join(m *Member) { *o = append(*o, m) }

// leave fills the hole with the last one, as __reuseport_detach_sock does.
func (o *order) leave(m *Member) {
	i := slices.Index(*o, m)
	if i < 0 {
		return
	}
	last := len(*o) - 1
	(*o)[i] = (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
}
