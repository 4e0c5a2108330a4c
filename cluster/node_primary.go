package cluster

import (
	"encoding/json"
	"errors"
	"log/slog"
	"sync"

	"onconn/cluster/nodeipc"
	"onconn/sock"
)

// A nodePrimary is the link of a worker to a Node primary.
type nodePrimary struct {
	*nodeipc.Worker
	self *self

	mu      sync.Mutex
	servers map[*nodeServer]bool // asked for, or open
	asked   map[uint64]*nodeServer
	lines   []*nodeServer // of the board
	leaving bool          // this worker has said that it goes
	leave   uint64        // the number of that message
}

// A nodeServer is a listener as the primary knows it.
type nodeServer struct {
	key     key
	seq     uint64 // of the listen that asked for it
	query   nodeipc.Query
	name    string // what the primary calls it
	line    int
	letters *letters // nil if the workers share the socket
}

func newNodePrimary(s *self, w *nodeipc.Worker) *nodePrimary {
	return &nodePrimary{Worker: w, self: s, servers: map[*nodeServer]bool{}, asked: map[uint64]*nodeServer{}}
}

func (p *nodePrimary) close() {
	p.Close()
	p.Discard()
}

// send says what a worker says to its primary.
func (p *nodePrimary) send(m message, _ ...sock.FD) error {
	switch m.Op {
	case opListen:
		return p.ask(m)
	case opClose:
		p.closed(*m.Key)
	case opLeave:
		return p.begin()
	case opDone:
		return p.done()
	}
	return nil
}

func (p *nodePrimary) sendUser(data []byte, fds ...sock.FD) error {
	if len(fds) == 0 {
		return p.Send(data)
	}
	if err := p.QueueHandle(data, fds[0]); err != nil {
		return err
	}
	_, err := p.NextHandle()
	return err
}

// handleAnswered is the primary's word on a descriptor that the program sent.
func (p *nodePrimary) handleAnswered(came bool) {
	err := p.HandleAnswered(came)
	if _, failed := p.NextHandle(); failed != nil {
		err = errors.Join(err, failed)
	}
	if err != nil {
		slog.Error("cannot send a descriptor to the Node primary", "err", err)
	}
}

// rest does nothing: here too connections come among messages, as from Node.
func (p *nodePrimary) rest() {}

// receive waits for what is the worker's to do.
func (p *nodePrimary) receive() (message, []sock.FD, error) {
	for {
		m, err := p.Receive()
		if err != nil {
			return message{}, nil, err
		}
		switch m.Act {
		case nodeipc.NewConn:
			p.newConn(m)
			continue
		case nodeipc.Reply:
			if answer, fds := p.replied(m); answer.Op != "" {
				return answer, fds, nil
			}
			p.mayLeave(m.Ack)
			continue
		case nodeipc.User:
			if m.FD != sock.None {
				p.Acknowledge(true)
				return message{Op: opUser, Data: m.Data}, []sock.FD{m.FD}, nil
			}
		case nodeipc.HandleACK, nodeipc.HandleNACK:
			p.handleAnswered(m.Act == nodeipc.HandleACK)
		case nodeipc.Socket:
			p.AnswerSocket(m)
		}
		p.decline(m)
		switch {
		case m.Act == nodeipc.Disconnect:
			return message{Op: opDisconnect}, nil, nil
		case m.Act == nodeipc.User && !m.Enveloped:
			return message{Op: opUser, Data: m.Data}, nil, nil
		}
	}
}

// decline answers an envelope with what nobody here takes.
func (p *nodePrimary) decline(m nodeipc.Message) {
	if m.FD != sock.None {
		m.FD.Close()
	}
	if m.Enveloped {
		p.Acknowledge(false)
	}
}

// newConn puts a connection where Accept finds it. One that can't be taken goes to
// another worker. That it came is acknowledged with the answer: until then the
// primary keeps everything else for this worker back.
func (p *nodePrimary) newConn(m nodeipc.Message) {
	s := p.named(m.Key)
	switch {
	case m.FD == sock.None:
		p.AnswerConn(m.Seq, false) // no NACK, or it would never give any again
	case s == nil || s.letters == nil:
		m.FD.Close()
		p.AnswerConn(m.Seq, false)
	default:
		s.letters.put(m.FD, m.Seq)
	}
}

func (p *nodePrimary) named(name string) *nodeServer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}

// closed tells the primary that a listener is closed.
func (p *nodePrimary) closed(k key) {
	p.mu.Lock()
	var found *nodeServer
	for s := range p.servers {
		if s.key == k && s.name != "" {
			found = s
			delete(p.servers, s)
			p.lines[s.line] = nil
		}
	}
	p.mu.Unlock()
	if found == nil {
		return
	}
	p.CloseServer(found.name)
	if found.letters != nil {
		found.letters.end()
	}
}

// begin has this worker go because it wants to. The primary gives it nothing more
// at once, and is told that this is no crash; its answer comes before the end, or it
// would write to a worker that has gone, which kills a Node primary (EPIPE).
func (p *nodePrimary) begin() (err error) {
	for _, s := range p.open() {
		p.CloseServer(s.name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return nil
	}
	p.leaving = true
	p.leave, err = p.Leave()
	return err
}

// mayLeave begins the end of this worker if that is the reply which allows it.
func (p *nodePrimary) mayLeave(reply uint64) {
	p.mu.Lock()
	may := p.leaving && reply == p.leave
	p.mu.Unlock()
	if may {
		p.self.end()
	}
}

func (p *nodePrimary) open() (open []*nodeServer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.servers {
		if s.name != "" {
			open = append(open, s)
		}
	}
	return open
}

// done hangs up, which is all that the primary hears of the end.
func (p *nodePrimary) done() error {
	for _, s := range p.open() {
		if s.letters != nil {
			s.letters.end()
		}
	}
	p.Flush()
	return p.Close()
}

// nodeData is what this worker says for the servers of an address in common, if it
// is the first: a TLS server of Node wants keys of tickets there.
var nodeData = sync.OnceValue(func() json.RawMessage {
	return json.RawMessage(`{"ticketKeys":"` + randomHex(48) + `"}`)
})
