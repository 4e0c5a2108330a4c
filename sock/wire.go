package sock

import "encoding/binary"

// WireSize is the length of an address in the form that [Addr.Wire] gives.
const WireSize = 28

// Wire is the address in a form of fixed size for another process on the same
// machine. A unix name doesn't fit: the address of a socket that has one becomes
// the zero Addr, which says to ask [FD.Getpeername].
func (a Addr) Wire() (b [WireSize]byte) {
	if a.name != "" {
		return b
	}
	binary.LittleEndian.PutUint32(b[0:], uint32(a.family))
	binary.LittleEndian.PutUint32(b[4:], a.port)
	binary.LittleEndian.PutUint32(b[8:], a.scope)
	copy(b[12:], a.ip[:])
	return b
}

// AddrFromWire reads what [Addr.Wire] gave. Any bytes are some address.
func AddrFromWire(b [WireSize]byte) Addr {
	a := Addr{
		family: Family(binary.LittleEndian.Uint32(b[0:])),
		port:   binary.LittleEndian.Uint32(b[4:]),
		scope:  binary.LittleEndian.Uint32(b[8:]),
	}
	copy(a.ip[:], b[12:])
	return a
}
