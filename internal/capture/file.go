package capture

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// maxPacket is the most that one packet may claim in a file, libpcap's
// MAXIMUM_SNAPLEN. It bounds the memory that a damaged file can make us take.
const maxPacket = 256 << 10

// A Reader reads packets from a pcap or pcapng file, gzipped or not, in memory
// that doesn't grow with the file.
type Reader struct {
	r     *bufio.Reader
	order binary.ByteOrder
	buf   []byte

	// pcap
	link  Link
	nanos bool

	// pcapng
	ng         bool
	interfaces []ngInterface

	packets uint64
}

// ErrFormat: it is not a capture file, or a damaged one.
var ErrFormat = errors.New("not a pcap or pcapng file")

// NewReader reads the file's header. The caller keeps owning r.
func NewReader(r io.Reader) (*Reader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := br.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		gz, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		br = bufio.NewReaderSize(gz, 64<<10)
	}
	c := &Reader{r: br}
	magic, err := br.Peek(4)
	switch err {
	case nil:
	case io.EOF, io.ErrUnexpectedEOF:
		return nil, fmt.Errorf("%w: it has %d bytes", ErrFormat, len(magic))
	default:
		return nil, damagedBy(err)
	}
	if binary.BigEndian.Uint32(magic) == ngSection {
		c.ng = true
		return c, c.section()
	}
	return c, c.header()
}

// header reads the header of a pcap file, pcap-savefile(5).
func (c *Reader) header() error {
	h, err := c.take(24)
	if err != nil {
		return fmt.Errorf("%w: its header is cut off", ErrFormat)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(h) {
		case 0xa1b2c3d4:
			c.order = order
		case 0xa1b23c4d:
			c.order, c.nanos = order, true
		}
	}
	if c.order == nil {
		return fmt.Errorf("%w: it begins with %#x", ErrFormat, h[:4])
	}
	// The upper bits say whether frames end with a checksum.
	return c.setLink(c.order.Uint32(h[20:]) & 0x03ffffff)
}

func (c *Reader) setLink(l uint32) error {
	if l > 0xffff || !Known(Link(l)) {
		return fmt.Errorf("packets of link type %d, which are none of IP, Ethernet and Linux cooked (any)", l)
	}
	c.link = Link(l)
	return nil
}

// Read returns the next packet. io.EOF: that was all. io.ErrUnexpectedEOF: the
// file ends inside of a packet. ErrFormat: it is damaged here. After an error
// there is nothing more to read.
func (c *Reader) Read() (Packet, error) {
	var p Packet
	var err error
	if c.ng {
		p, err = c.nextNg()
	} else {
		p, err = c.next()
	}
	if err != nil {
		return Packet{}, err
	}
	c.packets++
	return p, nil
}

func (c *Reader) next() (Packet, error) {
	h, err := c.take(16)
	if err != nil {
		return Packet{}, err
	}
	sec, frac := int64(c.order.Uint32(h)), int64(c.order.Uint32(h[4:]))
	if !c.nanos {
		frac *= 1000
	}
	size, wire := c.order.Uint32(h[8:]), length(c.order.Uint32(h[12:]))
	if size > maxPacket {
		return Packet{}, c.damaged("claims %d bytes", size)
	}
	data, err := c.take(int(size))
	if err != nil {
		return Packet{}, unexpected(err)
	}
	return Packet{Time: time.Unix(sec, frac), Link: c.link, Data: data, Length: max(wire, int(size))}, nil
}

func (c *Reader) damaged(format string, args ...any) error {
	return fmt.Errorf("%w: packet %d %s", ErrFormat, c.packets+1, fmt.Sprintf(format, args...))
}

// take reads n bytes into the buffer, which the next call uses again.
func (c *Reader) take(n int) ([]byte, error) {
	if cap(c.buf) < n {
		c.buf = make([]byte, max(n, 4<<10))
	}
	b := c.buf[:n]
	_, err := io.ReadFull(c.r, b)
	return b, damagedBy(err)
}

// length is how long a file says that a packet was, as an int of 32 bits too.
func length(n uint32) int { return int(min(n, math.MaxInt32)) }

// damagedBy calls a damaged gzip stream a damaged file. What the file system
// refuses, such as to read a directory, says nothing of the format.
func damagedBy(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// unexpected turns the end of the file within a packet into an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
