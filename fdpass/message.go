package fdpass

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// ErrTruncated means that not all descriptors of a message could be handed
// over: there were more than the caller had room for, or the process has no
// free descriptor number (RLIMIT_NOFILE). All of them are closed.
var ErrTruncated = errors.New("fdpass: descriptors of the message were lost: too many for the caller or for RLIMIT_NOFILE")

var (
	errCut = os.NewSyscallError("recvmsg",
		fmt.Errorf("%w: the payload was cut; read with a larger buffer", unix.EMSGSIZE))
	errNoBuffer = os.NewSyscallError("recvmsg",
		fmt.Errorf("%w: receiving takes a buffer of at least one byte", unix.EINVAL))
	errEmpty = os.NewSyscallError("sendmsg",
		fmt.Errorf("%w: an empty message can't be told from the end of the connection; send at least one byte", unix.EINVAL))
	errDropped = os.NewSyscallError("sendmsg",
		fmt.Errorf("%w: a STREAM socket drops descriptors that come without a byte; send at least one", unix.EINVAL))
)

// Send sends one message with sendmsg(2): p, and duplicates of fds. The caller
// still owns fds and may close them at once.
//
// EAGAIN: no room in the send buffer, and nothing was sent. EPIPE: the peer has
// gone. ETOOMANYREFS: too many descriptors of this user are in flight, which
// RLIMIT_NOFILE limits without CAP_SYS_RESOURCE or CAP_SYS_ADMIN.
// io.ErrShortWrite: a STREAM socket took fds and a first part of p only, which
// happens above half of SO_SNDBUF or 32 KiB.
//
// p has at least one byte; on SEQPACKET it may be empty if there are
// descriptors. EINVAL refuses other calls, and more than [MaxFDs].
func Send(s sock.FD, p []byte, fds ...sock.FD) error {
	if err := check(p, fds); err != nil {
		return err
	}
	if len(p) == 0 {
		t, err := unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil {
			return os.NewSyscallError("getsockopt", err)
		}
		if sock.Type(t) == sock.Stream {
			return errDropped
		}
	}
	n, err := send(s, p, fds)
	if err == nil && n < len(p) {
		return io.ErrShortWrite
	}
	return err
}

func send(s sock.FD, p []byte, fds []sock.FD) (int, error) {
	if len(fds) == 0 {
		return sendmsg(s, p, nil)
	}
	var r rights
	return sendmsg(s, p, r.encode(fds))
}

// check refuses what the kernel would silently take for something else, or
// refuse without saying why.
func check(p []byte, fds []sock.FD) error {
	if len(fds) > MaxFDs {
		return os.NewSyscallError("sendmsg",
			fmt.Errorf("%w: %d descriptors in one message; at most %d", unix.EINVAL, len(fds), MaxFDs))
	}
	for i, fd := range fds {
		if fd < 0 {
			return os.NewSyscallError("sendmsg",
				fmt.Errorf("%w: descriptor %d of the message is %d", unix.EBADF, i, fd))
		}
	}
	if len(p) == 0 && len(fds) == 0 {
		return errEmpty
	}
	return nil
}

// Receive receives one message with recvmsg(2): n bytes into p, and nfd
// descriptors into fds, close-on-exec, which the caller owns. p has room for at
// least one byte.
//
// io.EOF: the peer has gone (or sent an empty SEQPACKET message). EAGAIN:
// nothing has arrived. ECONNRESET: the peer has gone without reading all that
// was sent to it.
//
// [ErrTruncated]: the descriptors were lost. EMSGSIZE: a SEQPACKET payload was
// longer than p. With these two the message is consumed, p[:n] is what came of
// it, and all its descriptors are closed: nfd is 0 with every error.
func Receive(s sock.FD, p []byte, fds []sock.FD) (n, nfd int, err error) {
	return receive(s, p, fds, nil)
}

// receive also tells the sender's credentials, unless from is nil.
func receive(s sock.FD, p []byte, fds []sock.FD, from *Cred) (n, nfd int, err error) {
	if len(p) == 0 {
		return 0, 0, errNoBuffer
	}
	var buf [controlSize]byte
	n, nc, flags, err := recvmsg(s, p, buf[:], 0)
	if err != nil {
		return 0, 0, err
	}
	control := buf[:nc]
	nfd, all := collect(control, fds)
	switch {
	case flags&unix.MSG_CTRUNC != 0 || !all:
		err = ErrTruncated
	case flags&unix.MSG_TRUNC != 0:
		err = errCut
	case n == 0 && nfd == 0:
		err = io.EOF
	}
	if err != nil {
		for i, fd := range fds[:nfd] {
			fd.Close()
			fds[i] = sock.None
		}
		return n, 0, err
	}
	if from != nil {
		*from = credentials(control)
	}
	return n, nfd, nil
}
