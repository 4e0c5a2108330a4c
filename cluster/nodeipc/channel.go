package nodeipc

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"onconn/fdpass"
	"onconn/sock"
)

// A Serialization is how messages are written, for the whole life of a channel:
// NODE_CHANNEL_SERIALIZATION_MODE.
type Serialization string

// JSON is what Node takes where nothing is said.
const (
	JSON     Serialization = "json"
	Advanced Serialization = "advanced"
)

// MaxMessage bounds one message, in bytes as it is written. A longer one from the
// peer ends the channel.
const MaxMessage = 16 << 20

var (
	// ErrTooLong: a message is longer than MaxMessage.
	ErrTooLong = errors.New("nodeipc: message longer than 16 MiB")

	errSurplus = errors.New("nodeipc: a descriptor came that belongs to no message")
)

// A Channel is one end of an IPC channel: a stream of messages, of which some
// bring a descriptor. One goroutine receives, any may send.
type Channel struct {
	conn  *fdpass.Conn
	raw   syscall.RawConn
	codec Serialization

	in    []byte // received, and not yet returned
	start int    // of the next message in it
	seen  int    // where a message's end was looked for already
	buf   []byte
	came  []arrival
	fault error // what ends receiving, behind what is whole

	out     sender
	handles queue
}

// An arrival is a descriptor, or the loss of one, at a place in Channel.in: its
// message contains this byte. A read ends with the message that brought one
// (unix_stream_read_generic), or within it.
type arrival struct {
	at int
	fd sock.FD // None: the kernel had no number for it here
}

// NewChannel takes ownership of fd, also when it fails, and makes it non-blocking.
func NewChannel(fd sock.FD, s Serialization) (*Channel, error) {
	if s == "" {
		s = JSON
	}
	if s != JSON && s != Advanced {
		fd.Close()
		return nil, fmt.Errorf("nodeipc: unknown serialization %q", s)
	}
	conn, err := fdpass.NewConn(fd)
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := &Channel{conn: conn, raw: raw, codec: s, buf: make([]byte, 64<<10)}
	c.out.raw = raw
	return c, nil
}

// Wait blocks until Receive doesn't.
func (c *Channel) Wait() error {
	for !c.whole() && c.fault == nil {
		if err := c.read(); err != nil {
			return err
		}
		// Before it is whole, or one that has no end could bring all that this process
		// may have.
		if len(c.came) > 1 && !c.whole() {
			c.fault = errSurplus
		}
	}
	return nil
}

// SetReadDeadline is when Wait gives up, with [os.ErrDeadlineExceeded].
func (c *Channel) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Receive waits for a message. The caller owns its descriptor. The error is io.EOF
// when the peer has closed its end; after any error no more comes.
func (c *Channel) Receive() (Message, error) {
	if err := c.Wait(); err != nil {
		return Message{}, err
	}
	text, ok, err := c.cut()
	if err == nil && !ok {
		return Message{}, c.fault
	}
	var m Message
	if err == nil {
		if m, err = c.parse(text); err != nil {
			err = fmt.Errorf("nodeipc: malformed message: %w", err)
		}
	}
	if err != nil {
		c.in, c.start, c.seen, c.fault = nil, 0, 0, err
		return Message{}, err
	}
	return m, nil
}

// read receives once, as soon as there is something.
func (c *Channel) read() error {
	var fds [4]sock.FD // more than one are an error already
	var n, nfd int
	var err error
	waited := c.raw.Read(func(fd uintptr) bool {
		n, nfd, err = fdpass.Receive(sock.FD(fd), c.buf, fds[:])
		return !errors.Is(err, syscall.EAGAIN)
	})
	if waited != nil {
		return waited
	}
	c.compact()
	c.in = append(c.in, c.buf[:n]...)
	for _, fd := range fds[:nfd] {
		c.came = append(c.came, arrival{len(c.in) - 1, fd})
	}
	switch {
	case err == nil:
	case errors.Is(err, fdpass.ErrTruncated) && n > 0:
		c.came = append(c.came, arrival{len(c.in) - 1, sock.None})
	case errors.Is(err, syscall.ECONNRESET): // it has closed, and not read everything
		c.fault = io.EOF
	default:
		c.fault = err
	}
	return nil
}

// compact gives up what was returned.
func (c *Channel) compact() {
	if c.start == 0 {
		return
	}
	rest := c.in[c.start:]
	if cap(c.in) > 1<<20 && len(rest) < 64<<10 {
		c.in = nil // after a huge message
	}
	c.in = append(c.in[:0], rest...)
	for i := range c.came {
		c.came[i].at -= c.start
	}
	c.seen -= c.start
	c.start = 0
}

// arrived takes the descriptor of the message that ends at end.
func (c *Channel) arrived(end int) (a arrival, ok bool, err error) {
	for len(c.came) > 0 && c.came[0].at < end {
		if ok {
			return a, true, errSurplus
		}
		a, ok = c.came[0], true
		c.came = c.came[1:]
	}
	return a, ok, nil
}

// cut takes the next whole message out of what came, and gives its descriptor to
// the message if it is an envelope.
func (c *Channel) cut() (text cutting, ok bool, err error) {
	body, end, err := c.frame()
	if err != nil || end == 0 {
		return cutting{}, false, err
	}
	a, brought, err := c.arrived(end)
	c.start, c.seen = end, end
	if err != nil {
		a.close()
		return cutting{}, false, err
	}
	return cutting{body, a, brought}, true, nil
}

// A cutting is a message as it came.
type cutting struct {
	text    []byte
	arrival arrival
	brought bool
}

func (a arrival) close() {
	if a.fd != sock.None {
		a.fd.Close()
	}
}

// Close closes the channel, the end of which is all that the peer hears. What the
// kernel hasn't taken yet is lost; see Flush.
func (c *Channel) Close() error {
	err := c.conn.Close()
	c.out.fail(io.ErrClosedPipe)
	c.handles.close()
	return err
}

// Discard closes the descriptors that nobody received. It is for the goroutine
// that receives, when it is done.
func (c *Channel) Discard() {
	for _, a := range c.came {
		a.close()
	}
	c.came, c.in = nil, nil
}

// Descriptor is the channel's, which keeps owning it.
func (c *Channel) Descriptor() (fd sock.FD) {
	fd = sock.None
	c.raw.Control(func(n uintptr) { fd = sock.FD(n) })
	return fd
}
