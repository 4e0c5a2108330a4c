package capture

import (
	"encoding/binary"
	"net/netip"
)

// Flags of a TCP header.
type Flags uint8

// See RFC 9293.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// A Segment is a TCP segment with what its IP header says.
type Segment struct {
	Src, Dst netip.AddrPort
	TTL      uint8
	Seq, Ack uint32
	Flags    Flags
	Window   uint16
	Payload  int // bytes on the wire, captured or not
	Options
}

// Options are those of a TCP header, as far as they were captured.
type Options struct {
	MSS      uint16
	WScale   int8 // -1: absent
	SACK     bool // SACK permitted
	HasTS    bool
	TSVal    uint32
	FastOpen FastOpen
	MPTCP    MPTCP
}

// FastOpen is the option of RFC 7413 in a SYN.
type FastOpen uint8

const (
	NoFastOpen FastOpen = iota
	CookieRequest
	CookiePresent
)

// MPTCP is the first option of RFC 8684 in a segment.
type MPTCP uint8

const (
	NoMPTCP MPTCP = iota
	MPCapable
	MPJoin
	MPOther
)

// Parse finds the TCP segment in a packet, under VLAN tags and IPv6 extension
// headers. A later fragment, or what has no whole TCP header without its
// options, is none.
func Parse(p Packet) (s Segment, ok bool) {
	b, ok := network(p.Link, p.Data)
	if !ok || len(b) < 1 {
		return s, false
	}
	var src, dst netip.Addr
	var length int // of the TCP segment
	switch b[0] >> 4 {
	case 4:
		head := int(b[0]&15) * 4
		if len(b) < 20 || head < 20 || len(b) < head || b[9] != 6 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return s, false
		}
		src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		s.TTL = b[8]
		total := int(binary.BigEndian.Uint16(b[2:]))
		if total == 0 { // longer than 64 KiB: BIG TCP, or a segment not yet cut by the card
			total = p.Length - (len(p.Data) - len(b))
		}
		length = total - head
		b = b[head:]
	case 6:
		if len(b) < 40 {
			return s, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		s.TTL = b[7]
		length = int(binary.BigEndian.Uint16(b[4:]))
		if length == 0 {
			length = p.Length - (len(p.Data) - len(b)) - 40
		}
		next, rest, ok := extensions(b[6], b[40:])
		if !ok || next != 6 {
			return s, false
		}
		length -= len(b) - 40 - len(rest)
		b = rest
	default:
		return s, false
	}
	if len(b) < 20 {
		return s, false
	}
	head := int(b[12]>>4) * 4
	if head < 20 || length < head {
		return s, false
	}
	s.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	s.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	s.Seq, s.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	s.Flags = Flags(b[13])
	s.Window = binary.BigEndian.Uint16(b[14:])
	s.Payload = length - head
	s.Options = options(b[20:min(head, len(b))])
	return s, true
}

// network takes the link's header off.
func network(l Link, b []byte) ([]byte, bool) {
	var proto uint16
	switch l {
	case Raw, rawBSD, rawOpenBSD, IPv4, IPv6:
		return b, true
	case Null, Loop:
		if len(b) < 4 {
			return nil, false
		}
		return b[4:], true // IP's version says what the family would
	case Ethernet:
		if len(b) < 14 {
			return nil, false
		}
		proto, b = binary.BigEndian.Uint16(b[12:]), b[14:]
	case Cooked:
		if len(b) < 16 {
			return nil, false
		}
		proto, b = binary.BigEndian.Uint16(b[14:]), b[16:]
	case Cooked2:
		if len(b) < 20 {
			return nil, false
		}
		proto, b = binary.BigEndian.Uint16(b), b[20:]
	default:
		return nil, false
	}
	for range 4 { // nested tags
		switch proto {
		case 0x0800, 0x86dd:
			return b, true
		case 0x8100, 0x88a8, 0x9100: // 802.1Q, 802.1ad
			if len(b) < 4 {
				return nil, false
			}
			proto, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case 0x8864: // PPPoE session
			if len(b) < 8 {
				return nil, false
			}
			return b[8:], true
		default:
			return nil, false
		}
	}
	return nil, false
}

// Known reports whether Parse knows a link.
func Known(l Link) bool {
	switch l {
	case Null, Loop, Ethernet, Raw, rawBSD, rawOpenBSD, IPv4, IPv6, Cooked, Cooked2:
		return true
	}
	return false
}

// extensions skips the extension headers of IPv6. A later fragment is not ok.
func extensions(next byte, b []byte) (byte, []byte, bool) {
	for range 8 {
		var n int
		switch next {
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if len(b) < 8 {
				return 0, nil, false
			}
			n = (int(b[1]) + 1) * 8
		case 44: // fragment
			if len(b) < 8 || binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				return 0, nil, false
			}
			n = 8
		default:
			return next, b, true
		}
		if n > len(b) {
			return 0, nil, false
		}
		next, b = b[0], b[n:]
	}
	return 0, nil, false
}

func options(b []byte) Options {
	o := Options{WScale: -1}
	for len(b) > 0 && b[0] != 0 {
		if b[0] == 1 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			break
		}
		v := b[2:b[1]]
		switch kind := b[0]; {
		case kind == 2 && len(v) == 2:
			o.MSS = binary.BigEndian.Uint16(v)
		case kind == 3 && len(v) == 1:
			o.WScale = int8(min(v[0], 14))
		case kind == 4:
			o.SACK = true
		case kind == 8 && len(v) == 8:
			o.HasTS, o.TSVal = true, binary.BigEndian.Uint32(v)
		case kind == 30 && len(v) >= 1 && o.MPTCP == NoMPTCP:
			o.MPTCP = [16]MPTCP{MPCapable, MPJoin}[v[0]>>4]
			if o.MPTCP == NoMPTCP {
				o.MPTCP = MPOther
			}
		case kind == 34:
			o.FastOpen = fastOpen(v)
		case kind == 254 && len(v) >= 2 && binary.BigEndian.Uint16(v) == 0xf989: // the option before RFC 7413
			o.FastOpen = fastOpen(v[2:])
		}
		b = b[b[1]:]
	}
	return o
}

func fastOpen(cookie []byte) FastOpen {
	if len(cookie) == 0 {
		return CookieRequest
	}
	return CookiePresent
}
