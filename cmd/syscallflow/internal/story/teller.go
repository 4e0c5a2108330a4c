package story

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
)

// An actor is who has a lifeline, before it is known which are drawn.
type actor struct {
	kind    LaneKind
	pid     int
	address string // of a kernel's queue
}

// A conn is a connection to a listener, from its SYN or its accept.
type conn struct {
	client   netip.AddrPort
	listener recording.SocketID
	accepted recording.SocketID // 0: never
	events   []int

	isn           uint32
	syn, finished recording.Time
	synacks, syns int
	done          bool // the handshake
	overflow      bool // it was done, but the queue had no room
	queued        bool
	packets       bool
	replied       bool
	fin           bool
	inbound       int // segments with data
	acceptedAt    recording.Time
}

// An event is something that may become a step.
type event struct {
	at, end  recording.Time
	kind     Kind
	from, to actor
	label    string
	result   string
	sign     string // what makes two events the same, but for who and when
	socket   recording.SocketID
	conn     *conn
	state    State
	sit      situation
	why      string
	man      string
	raw      []string
	pid      int  // whose call it is
	minor    bool // its absence makes no other sort of connection
	detail   bool // only when verbose
	times    int
	done     bool // a handshake that puts a connection into the queue
	takes    bool // an accept that takes it out
	hint     bool // makes no lane by itself
	hidden   bool
	like     *conn // whose steps these were
	changed  bool  // the depth of the queue
	depth    int   // of it, afterwards
	packet   int   // in the recording, from 1
}

type teller struct {
	r         *recording.Recording
	o         Options
	procs     map[int]*recording.Process
	socks     map[recording.SocketID]*recording.Socket
	class     map[recording.SocketID]class
	conns     []*conn
	byID      map[recording.SocketID]*conn // by accepted socket
	workerSet map[int]bool
	listeners []listening
	byPID     map[int][]*recording.Call
	carriers  map[recording.SocketID]bool // of passed descriptors
	aside     map[recording.SocketID]bool // listeners that have nothing to do with the rest
	trails    map[recording.SocketID]string
	lastUse   map[recording.SocketID]recording.Time // of any descriptor of it
	idles     map[int]bool
	place     map[int]int    // of a process among them
	clients   map[string]int // local address of a traced client: its process
	events    []event
	before    [][2]int                           // pairs of events: the first comes first
	passed    map[recording.SocketID]map[int]int // socket: sender: receiver
}

// listening is a listener with its address, if it has one of IP.
type listening struct {
	*recording.Socket
	local netip.AddrPort
}

// A class is what a socket is for.
type class int

const (
	other class = iota
	listener
	bound
	accepted
	pair
	outgoing
)

func newTeller(r *recording.Recording, o Options) *teller {
	t := &teller{
		r: r, o: o,
		procs:   map[int]*recording.Process{},
		socks:   map[recording.SocketID]*recording.Socket{},
		class:   map[recording.SocketID]class{},
		byID:    map[recording.SocketID]*conn{},
		clients: map[string]int{},
		passed:  map[recording.SocketID]map[int]int{},
		place:   map[int]int{},
		idles:   map[int]bool{},
		lastUse: map[recording.SocketID]recording.Time{},
	}
	for i := range r.Processes {
		t.procs[r.Processes[i].PID] = &r.Processes[i]
		t.place[r.Processes[i].PID] = i
	}
	t.index()
	for i := range r.Sockets {
		s := &r.Sockets[i]
		t.socks[s.ID] = s
		switch {
		case s.Listens:
			t.class[s.ID] = listener
			local, _ := netip.ParseAddrPort(s.Local)
			t.listeners = append(t.listeners, listening{s, local})
		case s.From != 0:
			t.class[s.ID] = accepted
		case s.Pair != 0:
			t.class[s.ID] = pair
		}
	}
	t.sideline()
	for _, c := range r.Calls {
		if c.FD == nil || t.class[c.FD.Socket] != other || t.family(c.FD.Socket) == "AF_NETLINK" {
			continue
		}
		switch c.Name {
		case "bind":
			t.class[c.FD.Socket] = bound
		case "connect":
			t.class[c.FD.Socket] = outgoing
			if s := t.socks[c.FD.Socket]; s != nil && s.Local != "" && c.Address != "" {
				t.clients[s.Local] = c.PID
			}
		}
	}
	for i := range r.Sockets {
		if s := &r.Sockets[i]; t.class[s.ID] == accepted {
			c := &conn{listener: s.From, accepted: s.ID}
			c.client, _ = netip.ParseAddrPort(s.Peer)
			t.byID[s.ID] = c
			t.conns = append(t.conns, c)
		}
	}
	return t
}

// sideline finds Unix listeners to which nobody came, beside others to which
// somebody did: they are for control, not for what the program serves.
func (t *teller) sideline() {
	served := map[recording.SocketID]bool{}
	for _, s := range t.socks {
		served[s.From] = served[s.From] || s.From != 0
	}
	t.aside = map[recording.SocketID]bool{}
	for _, l := range t.listeners {
		t.aside[l.ID] = l.Family == "AF_UNIX" && !served[l.ID] && len(served) > 0
	}
}

// index looks at each call once, for what is asked often.
func (t *teller) index() {
	t.byPID = map[int][]*recording.Call{}
	t.carriers = map[recording.SocketID]bool{}
	trails := map[recording.SocketID][]string{}
	for i := range t.r.Calls {
		c := &t.r.Calls[i]
		t.byPID[c.PID] = append(t.byPID[c.PID], c)
		about := of(c.FD).Socket
		t.lastUse[about] = max(t.lastUse[about], c.Begin, c.End)
		if len(c.Passed) > 0 && c.FD != nil && c.Name != "socketpair" {
			t.carriers[c.FD.Socket] = true
		}
		for _, fd := range append([]recording.FD{of(c.FD), of(c.New)}, c.Passed...) {
			place := fmt.Sprintf("%d@%d", fd.Number, c.PID)
			if places := trails[fd.Socket]; fd.Socket != 0 && len(places) < 12 && !slices.Contains(places, place) {
				trails[fd.Socket] = append(places, place)
			}
		}
	}
	t.trails = map[recording.SocketID]string{}
	for id, places := range trails {
		t.trails[id] = strings.Join(places, " → ")
	}
}

func (t *teller) family(id recording.SocketID) string {
	if s := t.socks[id]; s != nil {
		return s.Family
	}
	return ""
}

func (t *teller) add(e event) int {
	if e.times == 0 {
		e.times = 1
	}
	if e.why == "" && e.sit != "" {
		e.why, e.man = explain(e.sit)
	}
	if e.end == 0 {
		e.end = e.at
	}
	t.events = append(t.events, e)
	i := len(t.events) - 1
	if e.conn != nil {
		e.conn.events = append(e.conn.events, i)
	}
	return i
}

func process(pid int) actor { return actor{kind: Process, pid: pid} }

// queue is the kernel's lifeline for a socket: one for each address.
func (t *teller) queue(id recording.SocketID, address string) actor {
	if s := t.socks[id]; s != nil && s.Local != "" {
		address = s.Local
	}
	return actor{kind: Kernel, address: address}
}

// client is the other end of a connection: a process, if it is one of ours.
func (t *teller) client(c *conn) actor {
	if c != nil && c.client.IsValid() {
		if pid, ok := t.clients[c.client.String()]; ok {
			return process(pid)
		}
	}
	return actor{kind: Client}
}

// port is what tells addresses apart on one machine: ":8000", or a path's end.
func port(address string) string {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return ":" + strconv.Itoa(int(ap.Port()))
	}
	if i := strings.LastIndexByte(address, '/'); i >= 0 && i+1 < len(address) {
		return address[i:]
	}
	return address
}

// children are the processes that another one of the recording has started.
func (t *teller) children(pid int) (children []int) {
	for _, p := range t.r.Processes {
		if p.Parent == pid && p.PID != pid {
			children = append(children, p.PID)
		}
	}
	return children
}

// passing are calls by which a process gets rid of what fork has left it.
var passing = map[string]bool{"close": true, "dup": true, "dup2": true, "dup3": true, "fcntl": true}

// workers are the processes that serve, of a program that has several: those
// whose parent has a listener too, or that got a descriptor.
func (t *teller) workers() (workers []int) {
	serves, owns := map[int]bool{}, map[int]bool{}
	for _, c := range t.r.Calls {
		if passing[c.Name] {
			continue
		}
		for _, fd := range append(slices.Clone(c.Passed), of(c.FD), of(c.New)) {
			switch t.class[fd.Socket] {
			case listener, accepted:
				serves[c.PID] = true
			case pair:
				owns[c.PID] = true
			}
		}
	}
	for _, p := range t.r.Processes {
		parent, ok := t.procs[p.Parent]
		if ok && parent.PID != p.PID && serves[p.PID] && (serves[parent.PID] || owns[parent.PID]) {
			workers = append(workers, p.PID)
		}
	}
	return workers
}

func of(fd *recording.FD) recording.FD {
	if fd == nil {
		return recording.FD{Number: -1}
	}
	return *fd
}
