// Package listen turns a network and an address into a listening socket: a
// [net.Listener] that says what the kernel granted, and can be read, resized,
// adopted and given away.
//
// It stands in for package net's listeners: the same networks and addresses,
// the same errors, deadlines and behaviour on Close. It differs where net hides
// something:
//
//   - The backlog is 511 unless [Config] says otherwise, and [Listener.Backlog]
//     tells what the kernel made of it.
//   - TCP is plain TCP; MPTCP only where asked for.
//   - An empty host is dual stack, IPv4 only where the machine has no IPv6, and
//     [Listener.Fallback] says so. "0.0.0.0" is IPv4 only.
//   - Options that connections inherit are set once, on the listening socket.
//   - "Address already in use" names the process that holds it.
//   - The file of a unix socket whose server died is replaced; any other file
//     is left alone.
//
// A listening socket belongs to one Listener, which needs Close or Release.
// Connections are [onconn/connwrap.Conn]s.
package listen
