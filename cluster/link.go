package cluster

import "onconn/sock"

// A link is how a worker and its primary speak, each as if the other one were of
// its kind: a channel, or something that says the same in another language. It
// knows messages, as a channel sends them, and what they mean.
type link interface {
	// send sends a message. The descriptors stay the caller's.
	send(m message, fds ...sock.FD) error
	// receive waits for one. The caller owns the descriptors. It is for one
	// goroutine. The error is io.EOF when the peer has ended.
	receive() (message, []sock.FD, error)
	// sendUser sends a program's message, JSON, with at most one descriptor, which stays
	// the caller's.
	sendUser(data []byte, fds ...sock.FD) error
	// rest is for the reader when the program's message that came last has been dealt
	// with: see channel.rest.
	rest()
	close()
}

// A workerLink is the primary's end of a link.
type workerLink interface {
	link
	// wait blocks until receive doesn't.
	wait() error
	// trySend is send that never waits.
	trySend(m message) error
	// exited: the process has, and its last words may still be read for a while.
	exited()
	// descriptor stays the link's.
	descriptor() sock.FD
}

// newLink makes the link to a worker that is about to be started. Its end of it is
// the caller's.
func (p *Primary) newLink(w *Worker) (theirs sock.FD, err error) {
	kind := sock.SeqPacket
	if p.cfg.Node {
		kind = sock.Stream
	}
	ours, theirs, err := sock.Pair(kind)
	if err != nil {
		return sock.None, err
	}
	if p.cfg.Node {
		err = p.linkNode(w, ours)
	} else {
		err = p.linkNative(w, ours)
	}
	if err != nil {
		theirs.Close()
		return sock.None, err
	}
	return theirs, nil
}

func (p *Primary) linkNative(w *Worker, ours sock.FD) error {
	c, err := newChannel(ours)
	if err != nil {
		return err // not a link that is nil
	}
	w.channel = c
	return nil
}
