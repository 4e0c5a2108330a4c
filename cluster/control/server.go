package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/listen"
)

// A Target is what requests are about: a [cluster.Primary].
type Target interface {
	Status() cluster.Status
	Reload(ctx context.Context) error
	Scale(ctx context.Context, workers int) error
	Upgrade(ctx context.Context) error
}

const (
	maxClients     = 16
	requestTimeout = 5 * time.Second // from connecting to the request's newline
	writeTimeout   = 5 * time.Second // for a client that doesn't read
	pause          = 100 * time.Millisecond
)

// A Server answers on a control socket.
type Server struct {
	ln     *listen.Listener
	target Target
	log    *slog.Logger
	ctx    context.Context // until Close
	stop   context.CancelFunc
	slots  chan struct{} // one for each client
	served sync.WaitGroup
}

// Listen opens the socket at path and answers there until Close. The file has
// mode 0600 from the beginning. It replaces that of a process which is gone; any
// other file stays, and is an error. log is told who is refused.
func Listen(path string, t Target, log *slog.Logger) (*Server, error) {
	if path == "" || path[0] == '@' {
		return nil, fmt.Errorf("control socket %q: it is a path, since an abstract name is open to everybody", path)
	}
	ln, err := listen.Config{UnixMode: 0o600, Logger: log}.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{ln: ln, target: t, log: log, slots: make(chan struct{}, maxClients)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.served.Go(s.accept)
	return s, nil
}

// Path is where the socket is.
func (s *Server) Path() string { return s.ln.Addr().String() }

// Close removes the socket, breaks off what was asked for and still runs, and
// returns when all answers are given.
func (s *Server) Close() error {
	s.stop()
	err := s.ln.Close()
	s.served.Wait()
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors, mostly; clients wait in the accept queue
			s.log.Error("the control socket can't accept", "err", err)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
			continue
		}
		if err := s.admit(c); err != nil {
			s.log.Warn("a client of the control socket is refused", "err", err)
			send(c, failure(err)) // a new socket has room for it
			c.Close()
			continue
		}
		s.served.Go(func() {
			defer func() { <-s.slots }()
			defer c.Close()
			s.serve(c)
		})
	}
}

// admit reserves a slot for a client that may ask.
func (s *Server) admit(c net.Conn) error {
	cred, err := peer(c)
	if err != nil {
		return fmt.Errorf("who connects is unknown: %w", err)
	}
	if uid := os.Geteuid(); int(cred.Uid) != uid && cred.Uid != 0 {
		return fmt.Errorf("user %d (process %d) may not control this onconn: it listens to user %d and root", cred.Uid, cred.Pid, uid)
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
		return fmt.Errorf("%d clients are being answered, no more at a time: try again", maxClients)
	}
}

// peer tells who made the connection, or listens at its other end.
func peer(c net.Conn) (cred *unix.Ucred, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	if closed := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); closed != nil {
		return nil, closed
	}
	return cred, os.NewSyscallError("getsockopt", err)
}

func (s *Server) serve(c net.Conn) {
	r, err := s.read(c)
	switch {
	case err == io.EOF: // somebody wanted to know only whether this one lives
	case err != nil:
		send(c, failure(err))
	case r.Op == opStatus:
		status := s.target.Status()
		send(c, answer{Done: true, Status: &status})
	default:
		s.work(c, r)
	}
}

// read waits for the request.
func (s *Server) read(c net.Conn) (request, error) {
	c.SetReadDeadline(time.Now().Add(requestTimeout))
	defer context.AfterFunc(s.ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	line, err := bufio.NewReaderSize(c, maxRequest).ReadSlice('\n')
	switch {
	case err == nil:
		return parse(line)
	case s.ctx.Err() != nil:
		return request{}, io.EOF
	case errors.Is(err, bufio.ErrBufferFull):
		return request{}, fmt.Errorf("the request is longer than %d bytes", maxRequest)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return request{}, fmt.Errorf("no request came within %v: it is a line of JSON like {\"op\":\"status\"}", requestTimeout)
	case err == io.EOF && len(line) > 0:
		return request{}, errors.New("the request has no newline at its end")
	}
	return request{}, io.EOF
}

// send writes a line. A client that is gone doesn't want it.
func send(c net.Conn, a answer) {
	line, err := json.Marshal(a)
	if err != nil { // a status that its target has made up
		line, _ = json.Marshal(failure(err))
	}
	c.SetWriteDeadline(time.Now().Add(writeTimeout))
	c.Write(append(line, '\n'))
}
