// Package recording is what was seen of a run: the calls, the packets and the queues,
// on one clock. Who draws needs nothing else, and no privilege.
package recording

import (
	"net/netip"
	"time"
)

// Schema names the form of the JSON. A change that old readers would misunderstand
// gets another number.
const Schema = "syscallflow/1"

// A Recording is one run. Slices are in the order of their times.
type Recording struct {
	Schema    string    `json:"schema"`
	Command   []string  `json:"command"`
	Began     time.Time `json:"began"`  // Time 0
	Kernel    string    `json:"kernel"` // uname -r
	Machine   string    `json:"machine"`
	Took      Time      `json:"took_ns"`
	Clock     Time      `json:"clock_error_ns"` // two times that differ by less may be in either order
	Processes []Process `json:"processes"`
	Sockets   []Socket  `json:"sockets"`
	Calls     []Call    `json:"calls"`
	Packets   []Packet  `json:"packets,omitempty"`
	Depths    []Depth   `json:"depths,omitempty"`
	Requests  []Request `json:"requests,omitempty"`
	Unseen    []string  `json:"unseen,omitempty"` // what could not be seen, and why: a sentence each
}

// Time is in nanoseconds since the recording began. A clock that is stepped can make
// it negative.
type Time int64

// A Process is one of those that were traced; threads are not told apart here.
type Process struct {
	PID    int      `json:"pid"`
	Parent int      `json:"parent,omitempty"` // 0: the program that was started
	Name   string   `json:"name"`             // comm
	Args   []string `json:"args,omitempty"`   // of its last execve
	Begin  Time     `json:"begin_ns"`         // 0: it ran already
	End    Time     `json:"end_ns,omitempty"` // 0: it was there at the end
	Status string   `json:"status,omitempty"` // "exit status 1", "signal: killed"
}

// A SocketID is the number of a socket in this recording, from 1: the same in every
// process that has it. 0 is none, or one that wasn't seen to come.
type SocketID int

// A Socket lives from its first descriptor to its last, whoever has it.
type Socket struct {
	ID       SocketID `json:"id"`
	Inode    uint64   `json:"inode,omitempty"`
	Cookie   uint64   `json:"cookie,omitempty"` // SO_COOKIE: the key for sock_diag
	Family   string   `json:"family"`           // "AF_INET"
	Type     string   `json:"type"`             // "SOCK_STREAM"
	Protocol string   `json:"protocol,omitempty"`
	Local    string   `json:"local,omitempty"` // "127.0.0.1:8000", a path, "@abstract"
	Peer     string   `json:"peer,omitempty"`
	Listens  bool     `json:"listens,omitempty"` // at some time
	Backlog  int      `json:"backlog,omitempty"` // granted
	Made     Time     `json:"made_ns"`
	From     SocketID `json:"from,omitempty"` // the listener that it was accepted from
	Pair     SocketID `json:"pair,omitempty"` // the other end of a socketpair
}

// A Call is a system call, from its entry to its exit.
type Call struct {
	PID    int    `json:"pid"`
	TID    int    `json:"tid,omitempty"` // if it isn't PID
	Name   string `json:"name"`          // "accept4"
	Begin  Time   `json:"begin_ns"`
	End    Time   `json:"end_ns,omitempty"` // 0: it has not returned
	Args   []Arg  `json:"args"`
	Return int64  `json:"return"`
	Errno  string `json:"errno,omitempty"` // "EAGAIN"

	FD      *FD    `json:"fd,omitempty"`      // that it is about, if it has one
	New     *FD    `json:"new,omitempty"`     // that it made
	Passed  []FD   `json:"passed,omitempty"`  // SCM_RIGHTS: sent by sendmsg, got by recvmsg; both of socketpair
	Address string `json:"address,omitempty"` // of bind, connect, sendto, or the peer of accept
	Data    []byte `json:"data,omitempty"`    // the first bytes of what was sent or received
	Size    int    `json:"size,omitempty"`    // of all of it
}

// An Arg is an argument as strace would print it.
type Arg struct {
	Name string `json:"name"` // of the man page: "backlog"
	Text string `json:"text"` // "511", "{sa_family=AF_INET, sin_port=htons(8000), ...}"
}

// An FD is a descriptor in the process of the call.
type FD struct {
	Number int      `json:"number"`
	Socket SocketID `json:"socket,omitempty"`
	Name   string   `json:"name,omitempty"` // of what isn't a socket: "pipe", "eventpoll", a path
}

// A Packet is a TCP segment as it passed an interface.
type Packet struct {
	Time  Time           `json:"time_ns"`
	From  netip.AddrPort `json:"from"`
	To    netip.AddrPort `json:"to"`
	Flags string         `json:"flags"` // of S F R P A: "SA"
	Seq   uint32         `json:"seq"`
	Ack   uint32         `json:"ack,omitempty"`
	Size  int            `json:"size,omitempty"` // of the payload
	Raw   []byte         `json:"raw,omitempty"`  // the frame, as far as it was captured
	// Socket is the server's end of the connection: the accepted one, or, until
	// there is none, the listener.
	Socket SocketID `json:"socket,omitempty"`
}

// A Depth is how many connections waited in a listener's accept queue.
type Depth struct {
	Time     Time     `json:"time_ns"`
	Socket   SocketID `json:"socket"`
	Queue    int      `json:"queue"`
	Limit    int      `json:"limit"`
	HalfOpen int      `json:"half_open,omitempty"`
	Drops    int      `json:"drops,omitempty"`
}

// A Request is one that was made for demonstration.
type Request struct {
	From  netip.AddrPort `json:"from"`
	To    netip.AddrPort `json:"to"`
	Begin Time           `json:"begin_ns"`
	End   Time           `json:"end_ns"`
	Text  string         `json:"text"`            // "GET /"
	Reply string         `json:"reply,omitempty"` // "200 OK (17 B)"
	Err   string         `json:"err,omitempty"`
}
