// Package control lets other processes ask a running cluster for its status, and
// tell it to reload, to scale or to upgrade, over a unix socket.
//
// The primary's side is a [Server], the other one a [Client]. [DefaultPath] is
// where a primary has its socket if nobody says otherwise, and [Running] finds
// them there.
//
// A connection carries one request: a line of JSON, of at most 4 KiB.
//
//	{"op":"status"}
//	{"op":"reload"}
//	{"op":"scale","workers":4}
//	{"op":"upgrade"}
//
// The answer is lines of JSON. Those with "progress" may come first; the last one
// has "done", with the "status" that was asked for, or "error". After an upgrade
// the connection ends without it, since the program that had it is no more.
//
// Only the user that runs the primary, and root, are answered: the socket's file
// has mode 0600, and the kernel tells who connects.
package control
