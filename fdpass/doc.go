// Package fdpass passes descriptors between processes over unix sockets.
//
// A message is a payload and up to [MaxFDs] descriptors (SCM_RIGHTS, see
// unix(7)). [Send] and [Receive] make one system call each; [Conn] waits in
// the runtime's poller, and says who the peer is. On a STREAM socket the
// descriptors arrive with the first byte of their message, and bytes sent
// before may come along in the same call, so messages need a frame of their
// own there. A SEQPACKET socket keeps them apart.
//
// [Queue] is a handoff queue: one process puts accepted connections in, another
// takes them out with a [Receiver]. What the other has not taken can be taken
// back at any time, so no acknowledgements are needed.
//
// A descriptor that was sent is a duplicate: both processes have the same open
// file description, with its O_NONBLOCK, options and queues. It stays open in
// flight even if the sender closes its own or dies. Received descriptors are
// close-on-exec and belong to the caller; whatever can't be handed to the
// caller is closed.
package fdpass
