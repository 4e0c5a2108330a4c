package nodeipc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"onconn/sock"
)

// An Act is what a message is about.
type Act string

const (
	// A worker sends these.
	Online      Act = "online"
	QueryServer Act = "queryServer" // may I have this server? Query
	Listening   Act = "listening"   // I have it. Query
	CloseServer Act = "close"       // I have closed it. Key
	Leaving     Act = "exitedAfterDisconnect"

	// A primary sends these.
	NewConn    Act = "newconn" // here is a connection. Key, FD
	Disconnect Act = "disconnect"

	// Both send these.
	Reply Act = "reply" // to the message with number Ack, of any kind
	User  Act = "user"  // a program's own. Data

	// A receiver of descriptors sends these, one for each envelope, in their order.
	HandleACK  Act = "NODE_HANDLE_ACK"
	HandleNACK Act = "NODE_HANDLE_NACK"

	// Socket is a question of the channel itself about sockets that were passed
	// between programs. Key, Name
	Socket Act = "socket"

	// None is a message that this package, as Node, ignores.
	None Act = ""
)

// A Message is what came.
type Message struct {
	Act Act
	// Enveloped says that the message is for a descriptor, and wants to be answered
	// by one Acknowledge. FD is it, the caller's, or None if it did not come. Type is
	// what Node made of it.
	Enveloped bool
	FD        sock.FD
	Type      string

	Seq      uint64 // its number, to which a reply refers
	Ack      uint64 // Reply: of what
	Accepted bool   // Reply to NewConn
	Errno    int    // Reply to QueryServer: negative, or 0
	Key      string // of a server
	SockName *SockName
	Query    Query
	Data     json.RawMessage // User: the message; Reply to QueryServer: the servers' common data
	Name     string          // Socket: which question
}

// SockName is a server's address as net.Server.address gives it.
type SockName struct {
	Address string `json:"address"`
	Family  string `json:"family"`
	Port    int    `json:"port"`
}

// UnmarshalJSON also takes the family as the number that Node 18.0 made of it.
func (s *SockName) UnmarshalJSON(p []byte) error {
	var w struct {
		Address string `json:"address"`
		Family  any    `json:"family"`
		Port    int    `json:"port"`
	}
	if err := json.Unmarshal(p, &w); err != nil {
		return err
	}
	*s = SockName{Address: w.Address, Family: fmt.Sprint(w.Family), Port: w.Port}
	if _, err := strconv.Atoi(s.Family); err == nil {
		s.Family = "IPv" + s.Family
	}
	return nil
}

// wire is every member that a message may have.
type wire struct {
	Cmd  string          `json:"cmd"`
	Type string          `json:"type"`
	Msg  json.RawMessage `json:"msg"`

	Act      Act             `json:"act"`
	Seq      uint64          `json:"seq"`
	Ack      *uint64         `json:"ack"`
	Accepted bool            `json:"accepted"`
	Errno    *int            `json:"errno"`
	Key      string          `json:"key"`
	SockName json.RawMessage `json:"sockname"`
	Data     json.RawMessage `json:"data"`
	wireQuery
}

const (
	cmdHandle  = "NODE_HANDLE"
	cmdCluster = "NODE_CLUSTER"
)

// parse makes a message of a text. The descriptor of one that is refused is
// closed.
func (c *Channel) parse(cut cutting) (m Message, err error) {
	defer func() {
		if err != nil && cut.brought {
			cut.arrival.close()
		}
	}()
	text := cut.text
	if c.codec == JSON {
		if m, enveloped, ok := quick(text); ok && (enveloped || !cut.brought) {
			if cut.brought {
				m.FD = cut.arrival.fd
			}
			return m, nil
		}
	}
	if c.codec == Advanced {
		if text, err = v8ToJSON(text); err != nil {
			return Message{}, err
		}
	} else if !json.Valid(text) {
		return Message{}, fmt.Errorf("no JSON: %.60q", text)
	}
	w, internal, err := parseWire(text)
	switch {
	case err != nil:
		return Message{}, err
	case w.Cmd == cmdHandle:
		return unwrap(w, cut)
	case cut.brought:
		return Message{}, errors.New("a descriptor came with a message that has none")
	case !internal:
		return Message{Act: User, FD: sock.None, Data: bytes.Clone(text)}, nil
	}
	return w.message()
}

// parseWire tells a message of Node's own from a program's: it is an object whose
// cmd begins with NODE_ and doesn't end there.
func parseWire(text []byte) (w wire, internal bool, err error) {
	if len(text) == 0 || text[0] != '{' || !bytes.Contains(text, []byte("NODE_")) {
		return wire{}, false, nil
	}
	var cmd struct {
		Cmd any `json:"cmd"`
	}
	if err := json.Unmarshal(text, &cmd); err != nil {
		return wire{}, false, err
	}
	if s, ok := cmd.Cmd.(string); !ok || !isInternal(s) {
		return wire{}, false, nil
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return wire{}, false, err
	}
	return w, true, nil
}

func isInternal(cmd string) bool { return len(cmd) > 5 && cmd[:5] == "NODE_" }

// unwrap opens an envelope. One that was sent again has another one inside.
func unwrap(w wire, cut cutting) (Message, error) {
	kind := w.Type
	inner := w.Msg
	var internal bool
	var err error
	for range 2 {
		w, internal, err = parseWire(inner)
		if err != nil || w.Cmd != cmdHandle {
			break
		}
		kind, inner = w.Type, w.Msg
	}
	if err != nil {
		return Message{}, err
	}
	m := Message{Act: User, Data: bytes.Clone(inner)}
	if internal {
		if m, err = w.message(); err != nil {
			return Message{}, err
		}
	}
	m.Enveloped, m.Type, m.FD = true, kind, sock.None
	if cut.brought {
		m.FD = cut.arrival.fd
	}
	return m, nil
}

// message is what a message of Node's own says.
func (w *wire) message() (Message, error) {
	m := Message{Act: w.Act, FD: sock.None, Seq: w.Seq, Key: w.Key, Data: w.Data, Accepted: w.Accepted}
	switch {
	case w.Cmd == string(HandleACK), w.Cmd == string(HandleNACK):
		m.Act = Act(w.Cmd)
	case len(w.Cmd) > len("NODE_SOCKET_") && w.Cmd[:len("NODE_SOCKET_")] == "NODE_SOCKET_":
		m.Act, m.Name = Socket, w.Cmd
	case w.Cmd != cmdCluster:
		m.Act = None
	case w.Ack != nil:
		return w.reply(m)
	}
	switch m.Act {
	case QueryServer, Listening:
		q, err := w.query()
		m.Query = q
		return m, err
	case Online, CloseServer, Leaving, NewConn, Disconnect, HandleACK, HandleNACK, Socket:
	default:
		m.Act = None
	}
	return m, nil
}

func (w *wire) reply(m Message) (Message, error) {
	m.Act, m.Ack = Reply, *w.Ack
	if w.Errno != nil {
		m.Errno = *w.Errno
	}
	if len(w.SockName) > 0 && string(w.SockName) != "null" {
		m.SockName = new(SockName)
		if err := json.Unmarshal(w.SockName, m.SockName); err != nil {
			return Message{}, err
		}
	}
	return m, nil
}
