package sdnotify

import (
	"bytes"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"onconn/fdpass"
	"onconn/sock"
)

// maxMessage is the longest message that is read, as in systemd
// (NOTIFY_BUFFER_MAX).
const maxMessage = 4096

// controlSize is room for credentials and the most descriptors, and for what
// else the kernel may add: what has no room, it closes itself.
var controlSize = unix.CmsgSpace(4*fdpass.MaxFDs) + 512

// A Receiver hears what processes say with sd_notify(3). It waits in the
// runtime's poller.
//
// Its address is an abstract name, so that no file is left behind and a process
// without any rights can reach it, if it is in the same network namespace.
// Anybody there can: what a message says is worth what its pid is.
type Receiver struct {
	file    *os.File
	raw     syscall.RawConn
	address string
	closed  atomic.Bool
	message []byte
	control []byte
}

// New opens a Receiver.
func New() (*Receiver, error) {
	s, err := sock.Socket(sock.Unix, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	address, err := bind(s)
	if err != nil {
		s.Close()
		return nil, err
	}
	r := &Receiver{
		file: os.NewFile(uintptr(s), "notify"), address: address,
		message: make([]byte, maxMessage), control: make([]byte, controlSize),
	}
	r.raw, err = r.file.SyscallConn()
	if err != nil {
		r.file.Close()
		return nil, err
	}
	return r, nil
}

// bind gives s a name that the kernel chooses. From then on the kernel tells who
// sent what arrives.
func bind(s sock.FD) (string, error) {
	if err := unix.SetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := s.Bind(sock.UnixAddr("")); err != nil {
		return "", err
	}
	a, err := s.Getsockname()
	if err != nil {
		return "", err
	}
	return a.String(), nil
}

// Address is the value of NOTIFY_SOCKET for the processes.
func (r *Receiver) Address() string { return r.address }

// Receive waits for a message and returns the process that sent it, by the
// kernel's word, and its fields: of READY=1 the key is READY. pid is 0 for a
// process that can't be seen from this pid namespace. Descriptors that come along
// are closed, which is also the answer that sd_notify_barrier(3) waits for. What
// is no message, or longer than 4,096 bytes, is passed over. After Close the
// error is net.ErrClosed. One goroutine at a time may call it.
func (r *Receiver) Receive() (pid int, fields map[string]string, err error) {
	for {
		var n, nc, flags int
		waitErr := r.raw.Read(func(fd uintptr) bool {
			n, nc, flags, err = recvmsg(int(fd), r.message, r.control)
			return err != unix.EAGAIN
		})
		switch {
		case waitErr != nil && r.closed.Load():
			return 0, nil, net.ErrClosed
		case waitErr != nil:
			return 0, nil, waitErr
		case err != nil:
			return 0, nil, os.NewSyscallError("recvmsg", err)
		}
		pid, known := sender(r.control[:nc])
		if !known || flags&unix.MSG_TRUNC != 0 {
			continue
		}
		if fields := parse(r.message[:n]); fields != nil {
			return pid, fields, nil
		}
	}
}

func recvmsg(fd int, p, control []byte) (n, nc, flags int, err error) {
	for {
		n, nc, flags, _, err = unix.Recvmsg(fd, p, control, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			return n, nc, flags, err
		}
	}
}

// sender reads the credentials in control data and closes every descriptor.
func sender(control []byte) (pid int, known bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, false // the kernel writes none that are wrong
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET {
			continue
		}
		switch m.Header.Type {
		case unix.SCM_RIGHTS:
			fds, _ := unix.ParseUnixRights(&m)
			for _, fd := range fds {
				unix.Close(fd)
			}
		case unix.SCM_CREDENTIALS:
			if cred, err := unix.ParseUnixCredentials(&m); err == nil {
				pid, known = int(cred.Pid), true
			}
		}
	}
	return pid, known
}

// parse returns the fields of a message, or nil if it is none. As systemd does,
// it allows one NUL at the end, and passes over lines without "=".
func parse(p []byte) map[string]string {
	p = bytes.TrimSuffix(p, []byte{0})
	if bytes.IndexByte(p, 0) >= 0 {
		return nil
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(p)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if ok && key != "" {
			fields[key] = value
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fields
}

// Close makes Receive return.
func (r *Receiver) Close() error {
	if r.closed.Swap(true) {
		return net.ErrClosed
	}
	return r.file.Close()
}
