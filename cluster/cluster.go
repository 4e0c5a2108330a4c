package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"time"

	"onconn/listen"
	"onconn/sock"
)

var errReply = errors.New("cluster: the primary sent other descriptors than the mode needs")

var errControl = errors.New("cluster: Control can't run in the primary: set it there, in Config.ListenConfig, or use Exclusive")

// IsPrimary reports whether this process is not a worker.
func IsPrimary() bool { return !IsWorker() }

// IsWorker reports whether a primary started this process as a worker. The
// children of a worker are no workers.
func IsWorker() bool {
	if born.worker {
		worker() // says that it is online; what is wrong with it, Listen tells
	}
	return born.worker
}

// ID is the worker's number, from 1, or 0 in the primary.
func ID() int {
	if s, err := worker(); err == nil {
		return s.id
	}
	return 0
}

// Listen is ListenConfig{}.Listen without a context.
func Listen(network, address string) (net.Listener, error) {
	return ListenConfig{}.Listen(context.Background(), network, address)
}

// ListenConfig is how a listener of a cluster is opened.
type ListenConfig struct {
	// Config is for the socket and the connections. Among workers, the first
	// that listens on an address decides on the socket. Counters in a worker
	// are the primary's.
	listen.Config

	// Mode is how connections reach the workers; 0: as the primary's Config
	// says.
	Mode Mode

	// Exclusive listeners are this process's own, unknown to the primary.
	Exclusive bool
}

// Listen announces on an address, as [listen.Config.Listen] does. In a worker
// the socket is the primary's, and all workers that listen on the same address
// share it; each listen on port 0 has a port of its own, the same one for the
// n-th such listen in every worker. Errors are those of a Listen here.
func (c ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if !born.worker || c.Exclusive {
		ln, err := c.Config.Listen(ctx, network, address)
		if err != nil {
			return nil, err // not a nil *Listener
		}
		return ln, nil
	}
	s, err := worker()
	if err != nil {
		return nil, err
	}
	switch {
	case isPacket(network):
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	case c.Control != nil:
		return nil, errControl
	}
	return s.listen(key{Network: network, Address: address}, c.Config, c.Mode)
}

// Send sends v, as JSON, to the primary, where OnEvent gets it as Messaged. It
// waits at most 5 s for a primary that doesn't read. See [ErrMessageTooLarge].
func Send(v any) error {
	s, err := worker()
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.channel.sendUser(data)
}

// SendFD is Send with a descriptor, of which [Config.OnMessageFD] gets a duplicate, or
// under Node what worker.on('message') is set to: see [Worker.SendFD], which does the
// same. fd stays the caller's.
func SendFD(v any, fd sock.FD) error {
	s, err := worker()
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.channel.sendUser(data, fd)
}

// OnMessage sets the function that gets what [Worker.Send] sends to this
// worker, one message at a time, on a goroutine of its own. What came before is
// kept for it, up to 1,024 messages; while more than that wait for f, the worker
// hears nothing else from the primary.
func OnMessage(f func(json.RawMessage)) error {
	s, err := worker()
	if err != nil {
		return err
	}
	s.onMessage(func(data json.RawMessage, fd sock.FD) {
		if fd != sock.None {
			slog.Warn("a descriptor that came with a message is closed: use cluster.OnMessageFD", "message", excerpt(data))
			fd.Close()
		}
		f(data)
	})
	return nil
}

// OnMessageFD is OnMessage for a function that also gets the descriptor of a
// message, by [Worker.SendFD] or Node's worker.send(message, handle), or [sock.None]
// if there is none. The function owns it. Of OnMessage and OnMessageFD the last call
// counts.
func OnMessageFD(f func(data json.RawMessage, fd sock.FD)) error {
	s, err := worker()
	if err != nil {
		return err
	}
	s.onMessage(f)
	return nil
}

// Draining is closed when this worker was asked to go, or its primary died, and
// no connection waits for it any more. A server closes idle connections then and
// finishes the others; Accept returns [net.ErrClosed] when all are over. For
// net/http that is package httpserve. Draining is nil in a primary.
func Draining() <-chan struct{} {
	s, err := worker()
	if err != nil {
		return nil
	}
	return s.draining
}

// DrainTimeout is how long this worker may take to go, from when Draining is
// closed: the primary's Config.DrainTimeout. It is 0 in a primary.
func DrainTimeout() time.Duration {
	s, err := worker()
	if err != nil {
		return 0
	}
	return s.drain
}

// Disconnect asks the primary to take this worker out, as [Worker.Disconnect]
// does.
func Disconnect() error {
	s, err := worker()
	if err != nil {
		return err
	}
	return s.channel.send(message{Op: opLeave})
}
