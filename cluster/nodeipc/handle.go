package nodeipc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A program's messages keep their order, although of those with a descriptor only
// one may be on its way, as from Node: what comes after it waits for its
// acknowledgement, since it may have to be sent again.

// A queue is what waits. While it isn't empty its first parcel has a descriptor.
type queue struct {
	mu      sync.Mutex
	parcels []parcel
	size    int // bytes in parcels
	away    bool
	nacks   int // of the first one
	closed  bool
	changed chan struct{} // closed when there is less; nil if nobody waits
}

// A parcel is a message as it is written.
type parcel struct {
	text []byte
	fd   sock.FD // None; else the queue's own
}

const (
	// maxParcels is how many messages may wait before the next one has to.
	maxParcels = 256
	// maxNACKs is how often Node sends a socket before it gives up.
	maxNACKs = 4
)

// ErrHandleLost: the peer has no descriptors left for one that a program sent,
// whose message is lost with it.
var ErrHandleLost = errors.New("nodeipc: the peer has refused a descriptor 4 times, and its message is lost")

var errHandle = errors.New("no TCP, UDP or unix stream socket, and Node takes nothing else")

// QueueHandle takes a program's message, JSON, with a duplicate of fd. NextHandle
// sends it. It waits at most 5 s for room.
func (c *Channel) QueueHandle(data json.RawMessage, fd sock.FD) error {
	kind, dgram, err := handleType(fd)
	if err != nil {
		return fmt.Errorf("nodeipc: descriptor %d: %w", fd, err)
	}
	if err := checkUser(data); err != nil {
		return err
	}
	text, err := c.line(struct {
		Cmd   string          `json:"cmd"`
		Type  string          `json:"type"`
		Msg   json.RawMessage `json:"msg"`
		Dgram string          `json:"dgramType,omitempty"`
	}{cmdHandle, kind, data, dgram})
	if err != nil {
		return err
	}
	if fd, err = fd.Dup(); err != nil {
		return err
	}
	if _, err = c.handles.add(parcel{text, fd}); err != nil {
		fd.Close()
	}
	return err
}

// NextHandle sends the first descriptor that waits, unless one is on its way. err is
// why some before it could not be sent, and are lost with their messages.
func (c *Channel) NextHandle() (sent bool, err error) {
	q := &c.handles
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.away {
		return false, nil
	}
	for len(q.parcels) > 0 {
		k := q.parcels[0]
		failed := c.out.sendFree(k.text, k.fd)
		if failed == nil {
			q.away = true
			return true, err
		}
		err = errors.Join(err, failed)
		c.popLocked()
	}
	return false, err
}

// HandlesWait reports whether some wait, or one is on its way.
func (c *Channel) HandlesWait() bool {
	c.handles.mu.Lock()
	defer c.handles.mu.Unlock()
	return len(c.handles.parcels) > 0
}

// HandleAnswered is the peer's ACK or NACK of a descriptor that NextHandle sent.
// The next one may go then, or the same again. [ErrHandleLost]: not that.
func (c *Channel) HandleAnswered(came bool) error {
	q := &c.handles
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.away:
		return nil
	case !came && q.nacks < maxNACKs-1:
		q.away = false
		q.nacks++
		return nil
	}
	c.popLocked()
	if !came {
		return ErrHandleLost
	}
	return nil
}

// popLocked gives the first parcel up, and sends what comes before the next one with a
// descriptor.
func (c *Channel) popLocked() {
	q := &c.handles
	for more := true; more; more = len(q.parcels) > 0 && q.parcels[0].fd == sock.None {
		k := q.parcels[0]
		if k.fd != sock.None {
			k.fd.Close()
		} else {
			c.out.sendFree(k.text, sock.None) // a channel that has failed is found out by who receives
		}
		q.size -= len(k.text)
		q.parcels = q.parcels[1:]
	}
	q.away, q.nacks = false, 0
	q.tellLocked()
}

// add puts a parcel behind the others; false: it has no descriptor, and there are no
// others. It waits for room, at most sendTimeout.
func (q *queue) add(k parcel) (added bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.awaitLocked(func() bool {
		return q.size == 0 || q.size+len(k.text) <= maxWaiting && len(q.parcels) < maxParcels
	}) {
		return false, os.ErrDeadlineExceeded
	}
	switch {
	case q.closed:
		return false, io.ErrClosedPipe
	case k.fd == sock.None && len(q.parcels) == 0:
		return false, nil
	}
	q.parcels = append(q.parcels, k)
	q.size += len(k.text)
	return true, nil
}

// awaitLocked waits until enough is true, or the queue is closed; false: it takes
// longer than sendTimeout. It unlocks meanwhile.
func (q *queue) awaitLocked(enough func() bool) bool {
	var late <-chan time.Time
	for !enough() && !q.closed {
		if late == nil {
			late = time.After(sendTimeout)
		}
		if q.changed == nil {
			q.changed = make(chan struct{})
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
			q.mu.Lock()
		case <-late:
			q.mu.Lock()
			return false
		}
	}
	return true
}

// flush waits until nothing waits.
func (q *queue) flush() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.awaitLocked(func() bool { return len(q.parcels) == 0 }) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// close gives up what waits.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, k := range q.parcels {
		if k.fd != sock.None {
			k.fd.Close()
		}
	}
	q.parcels, q.size, q.away = nil, 0, false
	q.tellLocked()
}

func (q *queue) tellLocked() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// handleType is what Node makes of a descriptor. One of another kind ends the process
// that gets it, or is never taken out of the channel.
func handleType(fd sock.FD) (kind, dgram string, err error) {
	domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err == unix.ENOTSOCK {
		return "", "", errHandle
	}
	if err != nil {
		return "", "", os.NewSyscallError("getsockopt", err)
	}
	socktype, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
	listens, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	internet := domain == unix.AF_INET || domain == unix.AF_INET6
	switch {
	case socktype == unix.SOCK_DGRAM && domain == unix.AF_INET:
		return "dgram.Socket", "udp4", nil
	case socktype == unix.SOCK_DGRAM && domain == unix.AF_INET6:
		return "dgram.Socket", "udp6", nil
	case socktype != unix.SOCK_STREAM || !internet && domain != unix.AF_UNIX:
		return "", "", errHandle
	case listens != 0:
		return "net.Server", "", nil
	}
	return "net.Socket", "", nil
}
