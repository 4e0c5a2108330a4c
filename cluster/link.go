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
	// sendUser sends a program's message, JSON.
	sendUser(data []byte) error
	// rest is for the reader when the program's message that came last has been dealt
	// with: see channel.rest.
	rest()
	close()
}
