package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"onconn/fdpass"
	"onconn/listen"
	"onconn/sock"
)

// protocolVersion is what this package speaks on the channel. A worker built
// with another one is refused.
const protocolVersion = 2

// MaxMessage bounds one message between primary and worker, in bytes of JSON.
const MaxMessage = 64 << 10

// ErrMessageTooLarge: the message is longer than [MaxMessage].
var ErrMessageTooLarge = errors.New("message longer than 64 KiB")

// sendTimeout is how long a message may wait for a peer that doesn't read.
const sendTimeout = 5 * time.Second

// An op says what a message is for.
type op string

const (
	// The primary sends these.
	opHello      op = "hello"      // first, with the descriptors of scoreboard, bell and standard error
	opReply      op = "reply"      // to listen, with the descriptors to accept from
	opDisconnect op = "disconnect" // finish what you have, then go
	opPing       op = "ping"       // answer on the scoreboard

	// A worker sends these.
	opOnline op = "online" // first
	opListen op = "listen" // give me this listener
	opClose  op = "close"  // I have closed it
	opLeave  op = "leave"  // disconnect me
	opDone   op = "done"   // my listeners are closed, my connections are over

	// Both send this.
	opUser op = "message"
)

// A message is one record of the channel: JSON in one SEQPACKET message, whose
// boundaries the kernel keeps. Which fields it has depends on its op.
type message struct {
	Op       op              `json:"op"`
	Version  int             `json:"version,omitempty"`   // hello, online
	ID       int             `json:"id,omitempty"`        // hello
	Drain    time.Duration   `json:"drain,omitempty"`     // hello: the longest drain
	Seq      uint64          `json:"seq,omitempty"`       // listen, reply
	Key      *key            `json:"key,omitempty"`       // listen, close
	Config   *listen.Config  `json:"config,omitempty"`    // listen
	Mode     Mode            `json:"mode,omitempty"`      // listen: the wish; reply: the fact
	Line     int             `json:"line,omitempty"`      // reply: where its counters are
	MaxConns int             `json:"max_conns,omitempty"` // reply
	Addr     *remoteAddr     `json:"addr,omitempty"`      // reply
	Error    *remoteError    `json:"error,omitempty"`     // reply
	Data     json.RawMessage `json:"data,omitempty"`      // message

	source sock.Source // reply: what connections come from, where it is no descriptor
}

// A key names a listener among all of a cluster. Index tells apart several
// listens on the same address, as on port 0.
type key struct {
	Network string `json:"network"`
	Address string `json:"address"`
	Index   int    `json:"index,omitempty"`
}

// A channel carries messages between the primary and one worker.
type channel struct {
	conn   *fdpass.Conn
	buf    []byte
	came   time.Time     // the last message
	worked time.Duration // see rest
	mu     sync.Mutex    // one sender at a time
}

// newChannel takes ownership of fd.
func newChannel(fd sock.FD) (*channel, error) {
	conn, err := fdpass.NewConn(fd)
	if err != nil {
		return nil, err
	}
	return &channel{conn: conn, buf: make([]byte, MaxMessage)}, nil
}

// send waits at most sendTimeout for room in the peer's buffer. The
// descriptors stay the caller's.
func (c *channel) send(m message, fds ...sock.FD) error {
	p, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return c.sendBytes(p, fds...)
}

func (c *channel) sendBytes(p []byte, fds ...sock.FD) error {
	if len(p) > MaxMessage {
		return ErrMessageTooLarge
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	return c.conn.SendMsg(p, fds...)
}

// trySend is send without waiting.
func (c *channel) trySend(m message) error {
	p, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if !c.mu.TryLock() {
		return os.ErrDeadlineExceeded
	}
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
	return c.conn.SendMsg(p)
}

// wait blocks until there is something to receive, or the end.
func (c *channel) wait() error {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	return waitReadable(raw)
}

// receive waits for one message. The caller owns the descriptors. It is for one
// goroutine. The error is io.EOF when the peer has closed its end.
func (c *channel) receive() (message, []sock.FD, error) {
	var fds [4]sock.FD
	n, nfd, err := c.conn.ReceiveMsg(c.buf, fds[:])
	c.came = time.Now()
	if err != nil {
		return message{}, nil, err
	}
	m, err := parseMessage(c.buf[:n])
	if err != nil {
		closeAll(fds[:nfd])
		return message{}, nil, err
	}
	return m, fds[:nfd], nil
}

// exited has receive give up soon.
func (c *channel) exited() { c.conn.SetReadDeadline(time.Now().Add(lastWords)) }

// descriptor stays the channel's.
func (c *channel) descriptor() (fd sock.FD) { return descriptorOf(c.conn) }

func (c *channel) close() { c.conn.Close() }

// descriptorOf is the descriptor behind sc, which stays sc's, or None.
func descriptorOf(sc syscall.Conn) sock.FD {
	fd := sock.None
	if raw, err := sc.SyscallConn(); err == nil {
		raw.Control(func(n uintptr) { fd = sock.FD(n) })
	}
	return fd
}

func parseMessage(p []byte) (message, error) {
	if m, ok := userMessage(p); ok {
		return m, nil
	}
	var m message
	if err := json.Unmarshal(p, &m); err != nil {
		return message{}, fmt.Errorf("malformed message: %w", err)
	}
	if m.Op == "" {
		return message{}, errors.New("malformed message: it has no op")
	}
	return m, nil
}

func closeAll(fds []sock.FD) {
	for _, fd := range fds {
		fd.Close()
	}
}
