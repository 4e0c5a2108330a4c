package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
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
func (c *channel) sendUser(data []byte) error {
	return c.sendBytes(bytes.Join([][]byte{userBegin, data, userEnd}, nil))
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
