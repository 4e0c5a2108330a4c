package cluster

import (
	"encoding/json"
	"fmt"
	"net"
	"syscall"

	"onconn/sock"
)

// An EventKind says what happened to a worker.
type EventKind int

const (
	// Forked: the process was started.
	Forked EventKind = iota + 1
	// Online: the process runs and speaks to the primary.
	Online
	// Listening: it has the listener on Addr.
	Listening
	// Messaged: it sent Data.
	Messaged
	// Disconnected: it has gone, and what it had not taken went to others.
	Disconnected
	// Exited: the process has ended with Status; Stderr is what it wrote last. It
	// comes after Disconnected.
	Exited
	// Ready: it waits in Accept on all listeners that it has. A program that knows
	// only LISTEN_FDS: it said READY=1, or has lived for a second.
	Ready
	// Hung: for [Config.HangAfter] it has taken nothing of what waits for it, or
	// not answered at all. Others get its connections meanwhile.
	Hung
	// Woke: it takes connections again.
	Woke
	// CrashLoop: it is one of Crashes workers of its slot in a row that ended soon
	// and by themselves. They are restarted ever more slowly. It comes after Exited.
	CrashLoop
	// Kept: an upgrade of the primary kept it. It comes instead of Forked, and for
	// what it had no other events come again.
	Kept
)

func (k EventKind) String() string {
	names := [...]string{"", "forked", "online", "listening", "messaged", "disconnected", "exited", "ready", "hung", "woke", "crash loop", "kept"}
	if k > 0 && int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("event %d", int(k))
}

// An Event is something that happened to a worker. The events of one worker come
// in the order in which they happened, Forked or Kept first and Exited last, but for CrashLoop.
type Event struct {
	Kind   EventKind
	Worker *Worker
	Addr   net.Addr           // Listening
	Data   json.RawMessage    // Messaged
	Status syscall.WaitStatus // Exited, CrashLoop
	Err    error              // Disconnected: what was wrong, if anything was
	Stderr string             // Exited, CrashLoop: up to 20 lines

	Crashes int // CrashLoop

	fds []sock.FD // Messaged: for Config.OnMessageFD
}
