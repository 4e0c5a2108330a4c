package nodeipc

import (
	"bytes"
	"encoding/binary"
)

// frame finds the next whole message: what it says, and where it ends in c.in; 0
// if it isn't whole.
func (c *Channel) frame() (body []byte, end int, err error) {
	if c.codec == Advanced {
		return c.advancedFrame()
	}
	i := bytes.IndexByte(c.in[c.seen:], '\n')
	if i < 0 {
		c.seen = len(c.in)
		if len(c.in)-c.start > MaxMessage {
			return nil, 0, ErrTooLong
		}
		return nil, 0, nil
	}
	end = c.seen + i + 1
	if end-c.start > MaxMessage {
		return nil, 0, ErrTooLong
	}
	return c.in[c.start : end-1], end, nil
}

// advancedFrame is a length of four bytes, which doesn't count itself, and so much
// of V8's serializer.
func (c *Channel) advancedFrame() (body []byte, end int, err error) {
	rest := c.in[c.start:]
	if len(rest) < 4 {
		return nil, 0, nil
	}
	n := binary.BigEndian.Uint32(rest)
	switch {
	case n > MaxMessage:
		return nil, 0, ErrTooLong
	case len(rest)-4 < int(n):
		return nil, 0, nil
	}
	return rest[4 : 4+n], c.start + 4 + int(n), nil
}

// whole reports whether a message is there, or the error of one.
func (c *Channel) whole() bool {
	_, end, err := c.frame()
	return end > 0 || err != nil
}

// encode is a message as it is written.
func (c *Channel) encode(text []byte) ([]byte, error) {
	var out []byte
	if c.codec == JSON {
		out = append(text, '\n')
	} else {
		var err error
		if out, err = jsonToV8(make([]byte, 4, 4+len(text)), text); err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	}
	if len(out) > MaxMessage {
		return nil, ErrTooLong
	}
	return out, nil
}
