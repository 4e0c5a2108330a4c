package connwrap

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"onconn/sock"
)

// Config says what is known about a descriptor and how its Conn behaves. The
// zero Config works.
type Config struct {
	// Network is "tcp", "tcp4", "tcp6", "unix", "unixpacket" or "vsock", and is
	// believed. If it is empty, New asks the kernel (two system calls).
	Network string

	// Local and Remote are the addresses as far as known. A zero one is asked
	// from the kernel once, when it is needed.
	Local, Remote sock.Addr

	// NoHalfOpen shuts the write side down when Read meets the end of the
	// stream: Node's allowHalfOpen false. Writes in progress are finished first.
	NoHalfOpen bool

	// PauseOnConnect leaves the descriptor as it is, outside the runtime's
	// poller, until the first Read, Write, deadline or call through SyscallConn,
	// or until Resume. Until then Detach gives back the very same descriptor.
	PauseOnConnect bool

	// Late leaves the descriptor outside the runtime's poller until a Read or
	// Write has to wait, a deadline lies in the future, or SyscallConn,
	// WriteBuffers, ReadFrom or WriteTo is used. New makes no system call then (if
	// Network is set), and doesn't find out that fd is no socket. Until it has
	// joined, Detach gives back the very same descriptor.
	Late bool

	// OnClose is called exactly once, when the Conn has given up its descriptor
	// (Close or Detach). It is not called when New fails.
	OnClose func()
}

// A Conn is a connected socket. All methods may be called from several
// goroutines at a time. Close or Detach it: a paused or late one has no finalizer.
type Conn struct {
	network    string
	typ        sock.Type
	noHalfOpen bool
	late       bool
	onClose    func()

	active atomic.Pointer[os.File] // file, once it has been used

	mu            sync.Mutex
	fd            sock.FD  // None once it is given up
	file          *os.File // on fd, in the runtime's poller; nil while paused
	local, remote name
	writers       int  // writes in progress, counted if noHalfOpen
	ended         bool // the stream's end was met, if noHalfOpen

	used                    bool // in use before it joined the poller
	readPassed, writePassed bool // deadlines that had passed before it joined
}

var _ interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	syscall.Conn
} = (*Conn)(nil)

// New makes a Conn of fd, which must be non-blocking, and owns it from here on:
// when New fails, fd is closed. EBADF, ENOTSOCK: fd is no socket.
// [net.UnknownNetworkError]: the network is none of those in Config.
//
// fd must not be 1 or 2: os.File takes a broken pipe there as the death of the
// process's output and raises SIGPIPE.
func New(fd sock.FD, cfg Config) (*Conn, error) {
	c := &Conn{
		network:    cfg.Network,
		noHalfOpen: cfg.NoHalfOpen,
		late:       cfg.Late,
		onClose:    cfg.OnClose,
		fd:         fd,
		local:      name{addr: cfg.Local},
		remote:     name{addr: cfg.Remote},
	}
	err := c.identify()
	if err == nil && !cfg.PauseOnConnect && !cfg.Late {
		err = c.register()
	}
	if err != nil {
		err = c.opError("wrap", err)
		c.onClose = nil
		c.Close()
		return nil, err
	}
	return c, nil
}

// Read reads what has arrived, up to len(p) bytes, and waits if nothing has. At
// the end of the stream it returns [io.EOF]. On a "unixpacket" socket it reads
// one message, whose excess over len(p) is lost, and takes an empty one for the end.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err == io.EOF {
		c.endOfStream()
	} else if err != nil {
		err = c.opError("read", c.fileError("read", err))
	}
	return n, err
}

func (c *Conn) read(p []byte) (n int, err error) {
	f := c.active.Load()
	switch {
	case f != nil:
	case c.late:
		if n, f, err = c.readNow(p); f == nil {
			return n, err
		}
	default:
		if f, err = c.use(); err != nil {
			return 0, err
		}
	}
	n, err = f.Read(p)
	if err == io.EOF && c.network == "unixpacket" {
		n, err = lastMessage(f, p)
	}
	return n, err
}

// lastMessage reads once more at what the kernel calls the end of a SEQPACKET
// socket: unix_dgram_recvmsg finds the queue empty and only then looks whether
// the peer has shut down, and a last message may come in between. After the
// shutdown none can come.
func lastMessage(f *os.File, p []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, io.EOF
	}
	raw.Control(func(fd uintptr) { n, err = sock.FD(fd).Read(p) })
	if n == 0 || err != nil {
		return 0, io.EOF
	}
	return n, nil
}

// Write writes all of p, one message on a "unixpacket" socket. With an error it
// returns how much the kernel took. EPIPE: the write side is shut down, or the
// peer has reset the connection.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if err != nil {
		err = c.opError("write", c.fileError("write", err))
	}
	return n, err
}

func (c *Conn) write(p []byte) (int, error) {
	if !c.late || c.active.Load() != nil {
		return c.writeFile(p)
	}
	n, f, err := c.writeNow(p)
	if f == nil {
		return n, err
	}
	m, err := c.writeRest(f, p[n:])
	return n + m, err
}

func (c *Conn) writeFile(p []byte) (int, error) {
	f, err := c.beginWrite()
	if err != nil {
		return 0, err
	}
	defer c.endWrite()
	return f.Write(p)
}

// SetDeadline sets both deadlines. The zero Time is none.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadline((*os.File).SetDeadline, t, true, true)
}

// SetReadDeadline sets when reads, also those that wait already, give up with
// [os.ErrDeadlineExceeded].
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline((*os.File).SetReadDeadline, t, true, false)
}

// SetWriteDeadline sets when writes, also those that wait already, give up with
// [os.ErrDeadlineExceeded].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline((*os.File).SetWriteDeadline, t, false, true)
}

func (c *Conn) setDeadline(set func(*os.File, time.Time) error, t time.Time, read, write bool) error {
	if c.late && c.active.Load() == nil && c.noteDeadline(t, read, write) {
		return nil
	}
	f, err := c.use()
	if err == nil {
		err = c.fileError("set", set(f, t))
	}
	return c.setError(err)
}
