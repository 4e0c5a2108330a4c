package fdpass

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A Record is one connection in a [Queue]: its descriptor and the address of
// its peer. A unix peer's name does not travel.
type Record struct {
	FD   sock.FD
	Peer sock.Addr
}

// On the wire a record is one message of recordSize bytes with one descriptor:
// recordMagic, then the address. The last byte of recordMagic is the version.
const (
	recordMagic = "ocq\x01"
	recordSize  = len(recordMagic) + sock.WireSize
)

type wireRecord [recordSize]byte

func (w *wireRecord) encode(peer sock.Addr) {
	copy(w[:], recordMagic)
	a := peer.Wire()
	copy(w[len(recordMagic):], a[:])
}

// ECONNABORTED is what accept4(2) says of one connection that came to nothing:
// loops that accept go on after it.
var (
	errLost = os.NewSyscallError("recvmsg",
		fmt.Errorf("%w: the connection's descriptor was lost, other parts of the process took the last ones: %w",
			unix.ECONNABORTED, ErrTruncated))
	errMalformed = os.NewSyscallError("recvmsg",
		fmt.Errorf("%w: fdpass: dropped a message that is no record of this version with one descriptor", unix.ECONNABORTED))
)

// receiveRecord takes one record from the receive end of a queue. It must be
// sure that a descriptor number is free: see spare.
func receiveRecord(s sock.FD) (sock.FD, sock.Addr, error) {
	var (
		p   [recordSize + 1]byte // one more, to tell a longer message
		buf [controlSize]byte
	)
	n, nc, flags, err := recvmsg(s, p[:], buf[:], unix.MSG_DONTWAIT)
	if err != nil {
		return sock.None, sock.Addr{}, err
	}
	var fds [1]sock.FD
	nfd, all := collect(buf[:nc], fds[:])
	switch {
	case n == 0 && nc == 0 && flags&unix.MSG_CTRUNC == 0:
		err = io.EOF
	case n != recordSize || string(p[:len(recordMagic)]) != recordMagic || !all:
		err = errMalformed
	case nfd == 0 && flags&unix.MSG_CTRUNC != 0:
		err = errLost
	case nfd == 0:
		err = errMalformed
	default:
		return fds[0], sock.AddrFromWire([sock.WireSize]byte(p[len(recordMagic):])), nil
	}
	if nfd > 0 {
		fds[0].Close()
	}
	return sock.None, sock.Addr{}, err
}

// waiting returns nil if a record waits, else what receiveRecord would: EAGAIN
// or io.EOF. Peeking without room for control data takes no descriptor.
func waiting(s sock.FD) error {
	var p [1]byte
	n, _, flags, err := recvmsg(s, p[:], nil, unix.MSG_DONTWAIT|unix.MSG_PEEK)
	if err == nil && n == 0 && flags&unix.MSG_CTRUNC == 0 {
		return io.EOF
	}
	return err
}
