package backlog

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

var (
	errTruncated = errors.New("sock_diag: truncated message")

	// errChanged: the list changed while the kernel wrote it, or part of it was
	// lost, so it must be asked for again.
	errChanged = errors.New("sock_diag: the list of sockets changed while it was read")
)

// maxAnswer is the most that netlink_dump fills at a time.
const maxAnswer = 32 << 10

// A diag is a socket of sock_diag(7), for one question at a time. It belongs to
// the network namespace of the thread that opened it, wherever it is used.
type diag struct {
	mu  sync.Mutex
	fd  int // -1: closed
	seq uint32
	buf []byte
}

// openDiag opens one that hears nobody but the kernel. It is non-blocking: the
// kernel answers inside of send and receive, so EAGAIN means that it can't.
func openDiag() (*diag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket NETLINK_SOCK_DIAG", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect NETLINK_SOCK_DIAG", err)
	}
	return &diag{fd: fd}, nil
}

func (d *diag) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return os.ErrClosed
	}
	err := unix.Close(d.fd)
	d.fd = -1
	return os.NewSyscallError("close", err)
}

// lookup sends one request and calls each with the body of its only answer.
func (d *diag) lookup(request []byte, each func([]byte) error) error {
	return d.ask(0, request, each)
}

// dump asks for a list, and appends those of its rows to all that row keeps.
func dump[T any](d *diag, all []T, request []byte, row func([]byte) (v T, keep bool, err error)) (_ []T, err error) {
	const tries = 5
	before := len(all)
	for range tries {
		all = all[:before]
		err = d.ask(unix.NLM_F_DUMP, request, func(body []byte) error {
			v, keep, err := row(body)
			if keep {
				all = append(all, v)
			}
			return err
		})
		if err == nil {
			return all, nil
		}
		if !errors.Is(err, errChanged) {
			break
		}
	}
	return nil, err
}

// ask sends one request and calls each with the body of every answer.
func (d *diag) ask(flags uint16, request []byte, each func([]byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return os.ErrClosed
	}
	size := 1 << 10
	if flags&unix.NLM_F_DUMP != 0 {
		size = maxAnswer
	}
	if len(d.buf) < size {
		d.buf = make([]byte, size)
	}
	err := d.exchange(flags, request, each)
	if err != nil {
		// As long as part of a dump is unread, the kernel begins no other one.
		for e := error(nil); e == nil || e == unix.ENOBUFS; {
			_, e = receive(d.fd, d.buf)
		}
	}
	return err
}

func (d *diag) exchange(flags uint16, request []byte, each func([]byte) error) error {
	d.seq++
	msg := d.buf[:unix.SizeofNlMsghdr+len(request)]
	binary.NativeEndian.PutUint32(msg[0:], uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|flags)
	binary.NativeEndian.PutUint32(msg[8:], d.seq)
	binary.NativeEndian.PutUint32(msg[12:], 0) // the kernel fills in our address
	copy(msg[unix.SizeofNlMsghdr:], request)
	if err := send(d.fd, msg); err != nil {
		return os.NewSyscallError("write NETLINK_SOCK_DIAG", err)
	}
	for done := false; !done; {
		n, err := receive(d.fd, d.buf)
		if err == unix.ENOBUFS {
			return errChanged
		}
		if err != nil {
			return os.NewSyscallError("read NETLINK_SOCK_DIAG", err)
		}
		if done, err = messages(d.buf[:n], d.seq, each); err != nil {
			return err
		}
	}
	return nil
}

func send(fd int, msg []byte) error {
	for {
		if _, err := unix.Write(fd, msg); err != unix.EINTR {
			return err
		}
	}
}

func receive(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// messages walks the netlink messages of one datagram, of which those of other
// requests don't count, and reports whether the last one was among them.
func messages(b []byte, seq uint32, each func([]byte) error) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return false, errTruncated
		}
		if binary.NativeEndian.Uint32(b[8:]) == seq {
			if done, err = message(b[:n], each); done || err != nil {
				return done, err
			}
		}
		b = b[min(align4(n), len(b)):]
	}
	return false, nil
}

func message(b []byte, each func([]byte) error) (done bool, err error) {
	flags := binary.NativeEndian.Uint16(b[6:])
	if flags&unix.NLM_F_DUMP_INTR != 0 {
		return false, errChanged
	}
	body := b[unix.SizeofNlMsghdr:]
	switch binary.NativeEndian.Uint16(b[4:]) {
	case unix.NLMSG_ERROR:
		if len(body) < 4 {
			return false, errTruncated
		}
		return true, refusal(body)
	case unix.NLMSG_DONE:
		if len(body) < 4 {
			return true, nil
		}
		return true, refusal(body)
	case unix.SOCK_DIAG_BY_FAMILY:
		if err := each(body); err != nil {
			return false, err
		}
	}
	return flags&unix.NLM_F_MULTI == 0, nil
}

// refusal is the error that a message carries, negative as kernel functions return it.
func refusal(body []byte) error {
	code := int32(binary.NativeEndian.Uint32(body))
	if code >= 0 {
		return nil
	}
	return os.NewSyscallError("sock_diag", unix.Errno(-int64(code)))
}

// attributes walks netlink attributes. Callers ignore kinds they don't know, so
// that a newer kernel does no harm.
func attributes(b []byte, each func(kind uint16, value []byte)) error {
	for len(b) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofNlAttr || n > len(b) {
			return errTruncated
		}
		each(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:n])
		b = b[min(align4(n), len(b)):]
	}
	return nil
}

func align4(n int) int { return (n + 3) &^ 3 }
