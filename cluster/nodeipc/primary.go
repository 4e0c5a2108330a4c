package nodeipc

import (
	"encoding/json"
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A Primary is this process as the primary of one Node worker.
type Primary struct {
	*Channel
	seq *atomic.Uint64
}

// NewPrimary takes ownership of fd, the channel, also when it fails. seq counts the
// messages to all workers: a number that is used once can't be taken for another.
func NewPrimary(fd sock.FD, s Serialization, seq *atomic.Uint64) (*Primary, error) {
	c, err := NewChannel(fd, s)
	if err != nil {
		return nil, err
	}
	return &Primary{Channel: c, seq: seq}, nil
}

func (p *Primary) next() uint64 { return p.seq.Add(1) - 1 }

// answer is a reply to queryServer.
type answer struct {
	Cmd      string          `json:"cmd"`
	Errno    *int            `json:"errno"`
	Key      string          `json:"key"`
	Ack      uint64          `json:"ack"`
	Data     json.RawMessage `json:"data"`
	SockName *SockName       `json:"sockname,omitempty"`
	Seq      uint64          `json:"seq"`
}

// Refuse answers queryServer with an errno, which is negative.
func (p *Primary) Refuse(query uint64, key string, errno int) error {
	return p.post(answer{cmdCluster, &errno, key, query, json.RawMessage("null"), nil, p.next()}, sock.None)
}

// Serve answers queryServer: connections will come as NewConn with that key. name
// is nil for a unix socket. data is what the first worker has said in its query.
func (p *Primary) Serve(query uint64, key string, name *SockName, data json.RawMessage) error {
	return p.post(answer{cmdCluster, nil, key, query, data, name, p.next()}, sock.None)
}

// Share answers queryServer with the socket that the workers accept, or receive, from. fd stays
// the caller's. The worker acknowledges it.
func (p *Primary) Share(query uint64, key string, fd sock.FD, data json.RawMessage) error {
	kind := "net.Native"
	if t, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE); t == unix.SOCK_DGRAM {
		kind = "dgram.Native"
	}
	return p.enclose(kind, answer{cmdCluster, new(int), key, query, data, nil, p.next()}, fd)
}

// NewConn gives the worker a connection, which stays the caller's too: the Reply to
// seq says whether the worker has it. It also acknowledges it. The key is plain ASCII.
func (p *Primary) NewConn(key string, fd sock.FD) (seq uint64, err error) {
	seq = p.next()
	if !isPlain(key) {
		return seq, errKey
	}
	text, err := p.encode(appendNewConn(nil, key, seq))
	if err != nil {
		return seq, err
	}
	return seq, p.out.send(text, fd)
}

var errKey = errors.New("nodeipc: a key of other characters than plain ASCII")

// Ping sends an envelope without a descriptor, which the worker answers with a
// NACK and ignores. No other one may be on its way: a descriptor that came with it
// would be taken for this one's.
func (p *Primary) Ping() error {
	return p.enclose("net.Native", struct{}{}, sock.None)
}

// QueueHandle is that of the channel. A listening unix socket is refused: a worker of
// Node takes its number for one of its primary's, asks for that, and ends.
func (p *Primary) QueueHandle(data json.RawMessage, fd sock.FD) error {
	domain, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	listens, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if domain == unix.AF_UNIX && listens != 0 {
		return errUnixServer
	}
	return p.Channel.QueueHandle(data, fd)
}

var errUnixServer = errors.New("nodeipc: a listening unix socket, which has a Node worker end")

// Disconnect asks the worker to close its servers, and to end when its connections
// are over.
func (p *Primary) Disconnect() error {
	return p.post(struct {
		head
		Seq uint64 `json:"seq"`
	}{head{cmdCluster, Disconnect}, p.next()}, sock.None)
}

// AllowLeave answers Leaving.
func (p *Primary) AllowLeave(leaving uint64) error {
	return p.post(struct {
		Cmd string `json:"cmd"`
		Ack uint64 `json:"ack"`
		Seq uint64 `json:"seq"`
	}{cmdCluster, leaving, p.next()}, sock.None)
}

func (p *Primary) enclose(kind string, v any, fd sock.FD) error {
	return p.post(struct {
		Cmd  string `json:"cmd"`
		Type string `json:"type"`
		Msg  any    `json:"msg"`
	}{cmdHandle, kind, v}, fd)
}
