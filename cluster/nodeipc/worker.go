package nodeipc

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"onconn/sock"
)

// sendTimeout is how long a program's message may wait for a peer that doesn't read.
const sendTimeout = 5 * time.Second

var errInternal = errors.New("nodeipc: a message whose cmd begins with NODE_ is Node's own")

// head begins every message of the cluster.
type head struct {
	Cmd string `json:"cmd"`
	Act Act    `json:"act,omitempty"`
}

// A Worker is this process as a worker of a Node primary.
type Worker struct {
	*Channel
	seq atomic.Uint64
}

// NewWorker takes ownership of fd, the channel, also when it fails. The first
// message is to be Online.
func NewWorker(fd sock.FD, s Serialization) (*Worker, error) {
	c, err := NewChannel(fd, s)
	if err != nil {
		return nil, err
	}
	return &Worker{Channel: c}, nil
}

// next is the number of the next message.
func (w *Worker) next() uint64 { return w.seq.Add(1) - 1 }

// say sends a message that has no more than an act and a key.
func (w *Worker) say(act Act, key string) (seq uint64, err error) {
	seq = w.next()
	return seq, w.post(struct {
		head
		Key string `json:"key,omitempty"`
		Seq uint64 `json:"seq"`
	}{head{cmdCluster, act}, key, seq}, sock.None)
}

// Online says that the program runs.
func (w *Worker) Online() error {
	_, err := w.say(Online, "")
	return err
}

// QueryServer asks for a server. The Reply to seq has its key, and a descriptor
// that is bound and doesn't listen if the workers share it, none if the primary
// accepts; or an Errno.
func (w *Worker) QueryServer(q Query) (seq uint64, err error) {
	seq = w.next()
	return seq, w.ask(QueryServer, q, seq)
}

// Listening says that the server of q listens, at a port that is known now.
func (w *Worker) Listening(q Query) error { return w.ask(Listening, q, w.next()) }

func (w *Worker) ask(act Act, q Query, seq uint64) error {
	data := q.Data
	if data == nil {
		data = json.RawMessage("null")
	}
	return w.post(struct {
		head
		wireQuery
		Data json.RawMessage `json:"data"`
		Seq  uint64          `json:"seq"`
	}{head{cmdCluster, act}, q.wire(), data, seq}, sock.None)
}

// CloseServer says that a server is closed.
func (w *Worker) CloseServer(key string) error {
	_, err := w.say(CloseServer, key)
	return err
}

// Leave says that this worker ends on purpose. The Reply to seq allows it.
func (w *Worker) Leave() (seq uint64, err error) { return w.say(Leaving, "") }

// Answer answers a NewConn: whether the worker has the connection. If not, another
// one gets it, and the descriptor is only to be closed.
func (w *Worker) Answer(newconn uint64, accepted bool) error {
	p, err := w.encode(appendAnswer(nil, newconn, accepted, w.next()))
	if err != nil {
		return err
	}
	return w.out.send(p, sock.None)
}

// AnswerConn is Acknowledge(true) and Answer in one.
func (w *Worker) AnswerConn(newconn uint64, accepted bool) error {
	ack, err := w.encode(bytes.Clone(quickACK))
	if err != nil {
		return err
	}
	answer, err := w.encode(appendAnswer(nil, newconn, accepted, w.next()))
	if err != nil {
		return err
	}
	return w.out.send(append(ack, answer...), sock.None)
}

// acknowledgement answers an envelope.
type acknowledgement struct {
	Cmd Act `json:"cmd"`
}

// post sends a message of the protocol.
func (c *Channel) post(v any, fd sock.FD) error {
	p, err := c.line(v)
	if err != nil {
		return err
	}
	return c.out.send(p, fd)
}

// line is a message of the protocol as it is written.
func (c *Channel) line(v any) ([]byte, error) {
	text, err := plainJSON(v)
	if err != nil {
		return nil, err
	}
	return c.encode(text)
}

// Acknowledge answers an envelope: whether its descriptor came. A newconn whose
// descriptor was lost for want of a number here is best acknowledged, and then
// answered with accepted false: it goes to another worker. After a NACK a Node
// primary would never give this one anything again.
func (c *Channel) Acknowledge(came bool) error {
	answer := HandleACK
	if !came {
		answer = HandleNACK
	}
	return c.post(acknowledgement{answer}, sock.None)
}

// Send sends a program's message, JSON. It waits at most 5 s for a peer that
// doesn't read.
func (c *Channel) Send(data json.RawMessage) error {
	if err := checkUser(data); err != nil {
		return err
	}
	p, err := c.line(data) // one line
	if err != nil {
		return err
	}
	if added, err := c.handles.add(parcel{p, sock.None}); added || err != nil {
		return err
	}
	return c.out.sendWaiting(p, sendTimeout)
}

// checkUser finds what a program can't send.
func checkUser(data json.RawMessage) error {
	_, internal, err := parseWire(data)
	if err == nil && internal {
		err = errInternal
	}
	return err
}

// AnswerSocket answers a Socket message of the other side, which counts the
// sockets that it has passed: there are none here.
func (c *Channel) AnswerSocket(m Message) error {
	type answer struct {
		Cmd   string `json:"cmd"`
		Key   string `json:"key"`
		Count *int   `json:"count,omitempty"`
	}
	switch m.Name {
	case "NODE_SOCKET_GET_COUNT":
		return c.post(answer{"NODE_SOCKET_COUNT", m.Key, new(int)}, sock.None)
	case "NODE_SOCKET_NOTIFY_CLOSE":
		return c.post(answer{"NODE_SOCKET_ALL_CLOSED", m.Key, nil}, sock.None)
	}
	return nil
}

// Flush waits until the kernel has all that was sent, and the peer has
// acknowledged descriptors. It is not for the goroutine that receives.
func (c *Channel) Flush() error {
	if err := c.handles.flush(); err != nil {
		return err
	}
	return c.out.flush(sendTimeout)
}
