package cluster

import (
	"encoding/json"
	"fmt"
	"net"
	"syscall"
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
	// Exited: the process has ended with Status. It comes after Disconnected.
	Exited
)

func (k EventKind) String() string {
	names := [...]string{"", "forked", "online", "listening", "messaged", "disconnected", "exited"}
	if k > 0 && int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("event %d", int(k))
}

// An Event is something that happened to a worker. The events of one worker come
// in the order in which they happened, Forked first and Exited last.
type Event struct {
	Kind   EventKind
	Worker *Worker
	Addr   net.Addr           // Listening
	Data   json.RawMessage    // Messaged
	Status syscall.WaitStatus // Exited
	Err    error              // Disconnected: what was wrong, if anything was
}
