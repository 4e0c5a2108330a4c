package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// Block types of https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/.
const (
	ngSection     = 0x0a0d0d0a
	ngDescription = 1
	ngOldPacket   = 2
	ngSimple      = 3
	ngEnhanced    = 6

	ngByteOrder = 0x1a2b3c4d
)

// maxInterfaces bounds what a damaged file can make us remember.
const maxInterfaces = 1 << 16

// maxBlock is the most that a block that we keep may have: a packet and options.
const maxBlock = maxPacket + 128<<10

// lastSecond is the end of the year 9999, beyond which there is no RFC 3339.
const lastSecond = 253402300799

type ngInterface struct {
	link   Link
	known  bool
	units  uint64 // of a timestamp, per second
	offset int64  // seconds
	snap   uint32 // 0: unlimited
}

// section reads a section's header, which says in what order bytes are. It may
// come again in files that were joined.
func (c *Reader) section() error {
	h, err := c.take(12)
	if err != nil {
		return fmt.Errorf("%w: its header is cut off", ErrFormat)
	}
	switch uint32(ngByteOrder) {
	case binary.LittleEndian.Uint32(h[8:]):
		c.order = binary.LittleEndian
	case binary.BigEndian.Uint32(h[8:]):
		c.order = binary.BigEndian
	default:
		return fmt.Errorf("%w: a section without byte order", ErrFormat)
	}
	c.interfaces = c.interfaces[:0]
	return c.skip(c.order.Uint32(h[4:]), 12)
}

// skip passes over what is left of a block of which so much was read.
func (c *Reader) skip(size, read uint32) error {
	if size < max(read, 12) || size%4 != 0 {
		return fmt.Errorf("%w: a block of %d bytes", ErrFormat, size)
	}
	for left := int64(size - read); left > 0; {
		n, err := c.r.Discard(int(min(left, 1<<20)))
		left -= int64(n)
		if err != nil {
			return unexpected(damagedBy(err))
		}
	}
	return nil
}

func (c *Reader) nextNg() (Packet, error) {
	for {
		h, err := c.r.Peek(8)
		if len(h) == 0 && err == io.EOF {
			return Packet{}, io.EOF
		}
		if err != nil {
			return Packet{}, unexpected(damagedBy(err))
		}
		if binary.BigEndian.Uint32(h) == ngSection {
			if err := c.section(); err != nil {
				return Packet{}, err
			}
			continue
		}
		kind, size := c.order.Uint32(h), c.order.Uint32(h[4:])
		switch kind {
		case ngDescription, ngEnhanced, ngSimple, ngOldPacket:
			if size < 12 || size%4 != 0 || size > maxBlock {
				return Packet{}, c.damaged("is a block of %d bytes", size)
			}
			b, err := c.take(int(size))
			if err != nil {
				return Packet{}, unexpected(err)
			}
			body := b[8 : size-4]
			if kind == ngDescription {
				if err := c.describe(body); err != nil {
					return Packet{}, err
				}
				continue
			}
			p, ok, err := c.packet(kind, body)
			if ok || err != nil {
				return p, err
			}
		default:
			if err := c.skip(size, 0); err != nil {
				return Packet{}, err
			}
		}
	}
}

// describe reads an interface description block.
func (c *Reader) describe(b []byte) error {
	if len(b) < 8 || len(c.interfaces) == maxInterfaces {
		return c.damaged("follows a damaged interface description")
	}
	link := Link(c.order.Uint16(b))
	i := ngInterface{link: link, known: Known(link), units: 1e6, snap: c.order.Uint32(b[4:])}
	for b = b[8:]; len(b) >= 4; {
		code, n := c.order.Uint16(b), int(c.order.Uint16(b[2:]))
		if code == 0 || 4+n > len(b) {
			break
		}
		v := b[4 : 4+n]
		switch {
		case code == 9 && n == 1: // if_tsresol
			i.units = units(v[0])
		case code == 14 && n == 8: // if_tsoffset
			i.offset = int64(c.order.Uint64(v))
			if i.offset > lastSecond || i.offset < -lastSecond {
				return c.damaged("follows a damaged interface description")
			}
		}
		b = b[min(4+(n+3)&^3, len(b)):]
	}
	c.interfaces = append(c.interfaces, i)
	return nil
}

// units is a resolution in units per second: a power of 10, or of 2 with the
// upper bit. One beyond 64 bits is as good as none.
func units(resolution byte) uint64 {
	exp := resolution & 0x7f
	if resolution&0x80 != 0 {
		return 1 << min(exp, 63)
	}
	u := uint64(1)
	for range min(exp, 19) {
		u *= 10
	}
	return u
}

// packet decodes a packet block. It is not ok where its interface has a link
// that we don't know, such as Bluetooth beside Ethernet.
func (c *Reader) packet(kind uint32, b []byte) (p Packet, ok bool, err error) {
	var iface, size uint32
	var stamp uint64
	switch {
	case kind == ngSimple && len(b) >= 4:
		p.Length = length(c.order.Uint32(b))
		b = b[4:]
		size = min(uint32(p.Length), uint32(len(b)))
		if len(c.interfaces) > 0 && c.interfaces[0].snap != 0 {
			size = min(size, c.interfaces[0].snap)
		}
	case kind != ngSimple && len(b) >= 20:
		iface = c.order.Uint32(b)
		if kind == ngOldPacket {
			iface = uint32(c.order.Uint16(b))
		}
		stamp = uint64(c.order.Uint32(b[4:]))<<32 | uint64(c.order.Uint32(b[8:]))
		size, p.Length = c.order.Uint32(b[12:]), length(c.order.Uint32(b[16:]))
		b = b[20:]
	default:
		return p, false, c.damaged("is cut off")
	}
	if uint64(iface) >= uint64(len(c.interfaces)) {
		return p, false, c.damaged("is of interface %d of %d", iface, len(c.interfaces))
	}
	if uint64(size) > uint64(len(b)) {
		return p, false, c.damaged("claims %d bytes of %d", size, len(b))
	}
	i := c.interfaces[iface]
	p.Link, p.Data, p.Interface = i.link, b[:size], int(iface)
	p.Length = max(p.Length, int(size))
	// The 128-bit product can't overflow its division: the remainder is below units.
	hi, lo := bits.Mul64(stamp%i.units, 1e9)
	nanos, _ := bits.Div64(hi, lo, i.units)
	sec := int64(min(stamp/i.units, 2*lastSecond+1)) + i.offset
	if sec < 0 || sec > lastSecond {
		return p, false, c.damaged("has a time beyond the year 9999")
	}
	p.Time = time.Unix(sec, int64(nanos))
	return p, i.known, nil
}
