// Package nodeipc speaks the protocol of Node's cluster module, over the IPC
// channel of its child_process module: as a worker of a Node primary ([Worker]),
// and as the primary of a Node worker ([Primary]).
//
// It knows the messages and their rules, and nothing of what is done about them:
// that is package cluster's. A message is a JSON line, or a frame in the format
// of V8's serializer, which is read and written as the JSON that it stands for.
// A descriptor comes with the message that it belongs to, in an envelope which
// the receiver answers: with an ACK, or a NACK if there was none.
//
// What a peer sends is checked: a line that is no message, one that is too long,
// a descriptor too many or for nobody end in an error, and every descriptor that
// came is the caller's or closed. Checked against Node 16 to 24, whose wire format
// is the same.
package nodeipc
