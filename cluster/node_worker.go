package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster/nodeipc"
	"onconn/fdpass"
	"onconn/listen"
	"onconn/sock"
)

// nodes is what all Node workers of a primary have in common.
type nodes struct {
	seq atomic.Uint64 // of messages

	mu   sync.Mutex
	data map[key]json.RawMessage // what the first worker with any has said for a server that is open
}

// A nodeWorker is the primary's link to a Node worker, in whose place it takes from
// the worker's queues. The worker gets a few connections at a time, each of which
// it has to answer. What it has not answered when it dies, or refuses, goes to others:
// it answers before it reads from a connection.
type nodeWorker struct {
	*nodeipc.Primary
	primary *Primary
	worker  *Worker
	next    message // what wait has found
	nextFD  []sock.FD

	mu       sync.Mutex
	clear    *sync.Cond // an envelope may go
	names    int
	queries  map[uint64]nodeAsked    // not answered yet, by number
	seats    map[string]*nodeSeat    // by name
	given    map[uint64]nodeConn     // connections that are not answered, by number
	sent     []uint64                // envelopes that are not acknowledged, in their order
	later    []func(send bool) error // envelopes that wait for the answer to a ping
	pinged   bool                    // the last of them is a ping
	plain    int                     // bytes since the last envelope
	lone     bool                    // the last envelope is to be the only one
	waiting  int                     // connections that may not go yet
	pumps    int                     // queues that it is still given connections of
	told     bool                    // it is asked to go, when there are no pumps
	parted   bool                    // it was asked
	leaving  bool                    // it has said that it goes
	refusing time.Time               // it has just refused something
	starved  time.Time               // and it was for want of descriptors
	ended    bool
}

// A nodeSeat is a listener of the worker whose connections the primary accepts.
type nodeSeat struct {
	key  key
	name string // what the worker calls it
	line int
	ln   *listen.Listener // of the worker's queue; nil in shared mode
	room chan struct{}    // holds one for each connection that is not answered
}

// A nodeAsked is what a worker asks for.
type nodeAsked struct {
	key  key
	data json.RawMessage
}

// A nodeConn is a connection on its way.
type nodeConn struct {
	seat *nodeSeat
	fdpass.Record
}

const (
	// nodeWindow is how many connections a worker may have got and not answered,
	// for each listener: as few as keep it busy, since only its death gives them
	// back.
	nodeWindow = 2
	// nodePause is how long a worker that refused a connection gets none.
	nodePause = 50 * time.Millisecond
	// nodeRead is less than Node reads at once. An envelope in two parts, with the
	// next one behind it, would lose its descriptor there.
	nodeRead = 60 << 10

	// nodeOwes is how many answers a worker may owe beside those for what it listens
	// on: it has closed some, and answers soon.
	nodeOwes = 256
	// nodeShared is the longest of what all servers of an address are told.
	nodeShared = 64 << 10

	// In sent: no NewConn, but a listening socket, a ping or a program's message.
	sentSocket = ^uint64(0)
	sentPing   = ^uint64(0) - 1
	sentHandle = ^uint64(0) - 2
)

var errNodeAck = errors.New("it acknowledges what was never sent")

// linkNode makes the link, which takes ownership of fd.
func (p *Primary) linkNode(w *Worker, fd sock.FD) error {
	writing, err := p.cfg.nodeWriting()
	if err != nil {
		fd.Close()
		return err
	}
	c, err := nodeipc.NewPrimary(fd, writing, &p.nodes.seq)
	if err != nil {
		return err
	}
	n := &nodeWorker{
		Primary: c, primary: p, worker: w,
		queries: map[uint64]nodeAsked{}, seats: map[string]*nodeSeat{}, given: map[uint64]nodeConn{},
	}
	n.clear = sync.NewCond(&n.mu)
	w.channel = n
	return nil
}

func (n *nodeWorker) exited() { n.SetReadDeadline(time.Now().Add(lastWords)) }

func (n *nodeWorker) descriptor() sock.FD { return n.Descriptor() }

func (n *nodeWorker) close() {
	n.end()
	n.Close()
	n.Discard()
}

// wait handles what the worker says until there is something for the primary.
func (n *nodeWorker) wait() error {
	for n.next.Op == "" {
		m, err := n.Receive()
		if err == nil {
			n.next, err = n.understand(m)
			n.here()
		}
		if err != nil {
			n.end()
			return err
		}
	}
	return nil
}

// here notes that the worker lives. See self.answer and listener.here.
func (n *nodeWorker) here() {
	n.worker.board.header().alive.Store(monotonic())
	missed := false
	n.mu.Lock()
	for _, s := range n.seats {
		missed = n.worker.board.line(s.line).missed.CompareAndSwap(true, false) || missed
	}
	n.mu.Unlock()
	wanted := &n.worker.board.header().wanted
	if missed || wanted.Load() && wanted.CompareAndSwap(true, false) {
		n.primary.room()
	}
}

func (n *nodeWorker) receive() (message, []sock.FD, error) {
	m, fds := n.next, n.nextFD
	n.next, n.nextFD = message{}, nil
	return m, fds, nil
}

// understand does what is the link's to do, and returns what is not.
func (n *nodeWorker) understand(m nodeipc.Message) (message, error) {
	if m.Act == nodeipc.User && m.FD != sock.None {
		n.nextFD = []sock.FD{m.FD}
		n.Acknowledge(true) // a channel that has failed is found out by who receives
		return message{Op: opUser, Data: m.Data}, nil
	}
	if m.FD != sock.None {
		m.FD.Close()
	}
	if m.Enveloped {
		return message{}, n.Acknowledge(false)
	}
	switch m.Act {
	case nodeipc.Online:
		return message{Op: opOnline, Version: protocolVersion}, nil
	case nodeipc.QueryServer:
		return n.queried(m)
	case nodeipc.Listening:
		n.listens()
	case nodeipc.CloseServer:
		if s := n.leaveSeat(m.Key); s != nil {
			return message{Op: opClose, Key: &s.key}, nil
		}
	case nodeipc.Leaving:
		n.mu.Lock()
		n.leaving = true
		n.mu.Unlock()
		n.AllowLeave(m.Seq) // a worker that hangs up meanwhile needs it no more
		return message{Op: opLeave}, nil
	case nodeipc.User:
		return message{Op: opUser, Data: m.Data}, nil
	case nodeipc.Reply:
		return message{}, n.answered(m.Ack, m.Accepted)
	case nodeipc.HandleACK, nodeipc.HandleNACK:
		return message{}, n.acknowledged(m.Act == nodeipc.HandleACK)
	case nodeipc.Socket:
		return message{}, n.AnswerSocket(m)
	}
	return message{}, nil
}

// queried is a worker's wish for a server. One that was asked to go gets no answer.
func (n *nodeWorker) queried(m nodeipc.Message) (message, error) {
	k, cfg, err := n.primary.nodeKey(m.Query)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told {
		return message{}, nil
	}
	if err != nil {
		return message{}, n.Refuse(m.Seq, "", -int(unix.ENOTSUP))
	}
	switch owes := len(n.given) + len(n.sent) + len(n.later); {
	case len(n.queries) == maxListeners:
		return message{}, fmt.Errorf("%d queries at a time", maxListeners)
	case owes > 3*nodeWindow*len(n.seats)+nodeOwes: // or who closes and listens again could keep them for ever
		return message{}, fmt.Errorf("it owes %d answers, and wants more listeners", owes)
	case len(m.Query.Data) > nodeShared:
		return message{}, fmt.Errorf("%d bytes for all servers of an address", len(m.Query.Data))
	}
	n.queries[m.Seq] = nodeAsked{k, m.Query.Data}
	return message{Op: opListen, Seq: m.Seq, Key: &k, Config: &cfg}, nil
}

// trySend is send, which never waits.
func (n *nodeWorker) trySend(m message) error { return n.send(m) }

// send says what a primary says to its worker.
func (n *nodeWorker) send(m message, fds ...sock.FD) error {
	switch m.Op {
	case opReply:
		return n.reply(m, fds)
	case opDisconnect:
		n.mu.Lock()
		defer n.mu.Unlock()
		n.told = true
		return n.tellLocked()
	case opPing:
		return n.ping()
	}
	return nil
}

// tellLocked asks the worker to go if it is to, and has got all that is in its
// queues: it closes its servers at once, and what came later would be refused.
func (n *nodeWorker) tellLocked() error {
	if !n.told || n.parted || n.pumps > 0 || n.HandlesWait() || n.leaving { // who leaves would hang up twice, an error there
		return nil
	}
	n.parted = true
	return n.Disconnect()
}

func (n *nodeWorker) sendUser(data []byte, fds ...sock.FD) error {
	if len(fds) > 0 {
		return n.sendHandle(data, fds[0])
	}
	n.mu.Lock()
	n.plain += len(data)
	n.mu.Unlock()
	return n.Send(data)
}

// rest does nothing: answers to connections come among messages, and wait behind them.
func (n *nodeWorker) rest() {}

// ping sends an envelope without a descriptor. It can't be sent together with
// others; their answers are a sign of life as well.
func (n *nodeWorker) ping() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.sent) > 0 || n.ended {
		return os.ErrDeadlineExceeded
	}
	n.sent, n.pinged = append(n.sent, sentPing), true
	return n.Ping()
}

// reply answers queryServer.
func (n *nodeWorker) reply(m message, fds []sock.FD) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	q, asked := n.queries[m.Seq]
	delete(n.queries, m.Seq)
	switch {
	case !asked || n.told:
		return nil
	case m.Error != nil:
		errno := m.Error.Errno
		if errno == 0 {
			errno = unix.EINVAL
		}
		n.primary.log.Error("a Node worker can't listen", "worker", n.worker.ID, "err", m.Error.Text)
		return n.Refuse(m.Seq, "", -int(errno))
	case len(fds) != 1:
		return errReply
	}
	n.names++
	s := &nodeSeat{key: q.key, name: strconv.Itoa(n.names), line: m.Line, room: make(chan struct{}, nodeWindow)}
	data := n.primary.nodes.common(q.key, q.data)
	var err error
	if m.Mode == Shared {
		err = n.shareLocked(func(fd sock.FD) error { return n.Share(m.Seq, s.name, fd, data) }, fds[0])
	} else if s.ln, err = takeFrom(fds[0], m.Addr); err == nil {
		if err = n.Serve(m.Seq, s.name, sockName(m.Addr), data); err == nil {
			n.pumps++
			n.primary.running.Go(func() { n.pump(s) })
		} else {
			s.ln.Close()
		}
	}
	if err == nil {
		n.seats[s.name] = s
	}
	return err
}

// listens notes that the worker takes connections, which no call of it will tell
// each time. It listens as soon as it has an answer, so it is about all servers.
func (n *nodeWorker) listens() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.seats {
		n.worker.board.line(s.line).waiting.Store(1)
	}
}

// common is what all servers of k are told.
func (c *nodes) common(k key, data json.RawMessage) json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.data[k] == nil && len(data) > 0 && string(data) != "null" {
		if c.data == nil {
			c.data = map[key]json.RawMessage{}
		}
		c.data[k] = data
	}
	if c.data[k] == nil {
		return json.RawMessage("null")
	}
	return c.data[k]
}

func (c *nodes) forget(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.data, k)
}

// leaveSeat ends a listener of the worker. What it has not answered it will refuse.
func (n *nodeWorker) leaveSeat(name string) *nodeSeat {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.seats[name]
	if s != nil {
		delete(n.seats, name)
		n.stopLocked(s)
	}
	return s
}

func (n *nodeWorker) stopLocked(s *nodeSeat) {
	n.worker.board.line(s.line).waiting.Store(0)
	if s.ln != nil {
		s.ln.Close()
	}
}
