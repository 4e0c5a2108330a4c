// Package peer has the servers that are measured: our own, and those that a user
// might take instead. It knows how each is had and how it is started.
package peer

import "context"

// A Work is what a server does with a connection.
type Work string

const (
	Close     Work = "close"     // accepts and closes it
	HTTP      Work = "http"      // answers one GET with 100 bytes and closes it
	KeepAlive Work = "keepalive" // answers any number of GETs with 100 bytes each
	Hold      Work = "hold"      // accepts and keeps it until the client closes it
)

// A Peer is a server that can be measured.
type Peer struct {
	Name string // in tables and flags: "c-epoll", "accept.Loop"
	Work Work   // KeepAlive servers do HTTP as well, as the client asks
	What string // one line for people

	// Get builds the server in dir, which lasts as long as the run, or finds it. An
	// error says what this machine lacks, and the tables say so too.
	Get func(ctx context.Context, dir string) (Command, error)
}

// A Command is the argv of a server that listens on addr ("127.0.0.1:8000") with that many
// worker processes (1: it serves by itself), until SIGTERM. It is ready when it
// accepts connections.
type Command func(addr string, workers int) []string
