package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"onconn/sock"
)

// A program's message is most of what goes over a channel, and may be long, so its
// data, which is JSON already, is put between these two and taken out again as it
// is: to have encoding/json look through it costs three times as much as all else.
// The result is what it would have made of message{Op: opUser, Data: data}.
var (
	userBegin = []byte(`{"op":"message","data":`)
	userEnd   = []byte(`}`)
)

// sendUser sends a program's message.
func (c *channel) sendUser(data []byte, fds ...sock.FD) error {
	return c.sendBytes(bytes.Join([][]byte{userBegin, data, userEnd}, nil), fds...)
}

// userMessage is p if it is a program's message. Whether its data is JSON is for
// the primary to check, who trusts no worker.
func userMessage(p []byte) (message, bool) {
	data, ok := bytes.CutPrefix(p, userBegin)
	if !ok || !bytes.HasSuffix(data, userEnd) {
		return message{}, false
	}
	return message{Op: opUser, Data: bytes.Clone(data[:len(data)-len(userEnd)])}, true
}

var errNoJSON = errors.New("malformed message: its data is no JSON")

// said checks what a worker's program sends.
func (m message) said() (json.RawMessage, error) {
	if !json.Valid(m.Data) {
		return nil, errNoJSON
	}
	return m.Data, nil
}

// tell tells an event to whom it is for.
func (p *Primary) tell(e Event) {
	fds := e.fds
	e.fds = nil
	switch f := p.cfg.OnMessageFD; {
	case len(fds) == 0:
	case f != nil:
		f(e.Worker, e.Data, fds[0])
		return
	default:
		p.log.Warn("a descriptor that came with a message is closed: there is no Config.OnMessageFD",
			"worker", e.Worker.ID, "message", excerpt(e.Data))
		closeAll(fds)
	}
	p.cfg.OnEvent(e)
}

// excerpt is how a message begins.
func excerpt(data json.RawMessage) string { return string(data[:min(len(data), 100)]) }

// stint is how long a channel's reader may work on messages without a pause.
const stint = time.Millisecond

// rest keeps the reader of many messages from delaying connections: it is called
// when the program's message that came last has been dealt with. While every P has
// something to run, Go's scheduler may look for readable sockets only every 10 ms
// (sysmon); in a pause as long as the work it finds them at once.
func (c *channel) rest() {
	if c.worked += time.Since(c.came); c.worked >= stint {
		time.Sleep(c.worked)
		c.worked = 0
	}
}
