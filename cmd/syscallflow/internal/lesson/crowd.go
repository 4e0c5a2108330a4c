package lesson

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/sock"
)

// A crowd are clients that connect and then say nothing.
type crowd struct {
	fds   []sock.FD
	stage *stage
	first int              // of its requests in stage.asked
	lost  map[sock.FD]bool // the kernel tells of a reset only once
}

// crowd begins so many connections. What is set on each comes before connect.
func (s *stage) crowd(port, n int, before ...func(sock.FD) error) (*crowd, error) {
	c := &crowd{stage: s, first: len(s.asked), lost: map[sock.FD]bool{}}
	return c, c.add(port, n, before...)
}

func (c *crowd) add(port, n int, before ...func(sock.FD) error) error {
	for range n {
		fd, err := sock.Socket(sock.Inet, sock.Stream, sock.TCP)
		if err != nil {
			return err
		}
		c.fds = append(c.fds, fd)
		for _, f := range before {
			if err := f(fd); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := fd.Connect(sock.IPAddr(loopback(port))); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return err
		}
		q := recording.Request{To: loopback(port), Begin: c.stage.time(began), End: c.stage.time(time.Now()), Text: "and is silent"}
		if a, err := fd.Getsockname(); err == nil {
			q.From = a.AddrPort()
		}
		c.stage.asked = append(c.stage.asked, q)
	}
	return nil
}

func (c *crowd) close() {
	for _, fd := range c.fds {
		fd.Close()
	}
	c.fds = nil
}

// connected counts those whose connect has succeeded.
func (c *crowd) connected() (n int) {
	for _, fd := range c.fds {
		if info, err := tcpInfo(int(fd)); err == nil && info.State != unix.BPF_TCP_SYN_SENT && info.State != unix.BPF_TCP_CLOSE {
			n++
		}
	}
	return n
}

// settled is how many are connected when no more of them get in: those at once, and
// none in a while.
func (c *crowd) settled(atLeast int) int {
	until(func() bool { return c.connected() >= atLeast })
	time.Sleep(100 * time.Millisecond) // of this nothing depends but what would be too many
	return c.connected()
}

// reset counts those to whom the server's kernel has sent RST.
func (c *crowd) reset() int {
	for _, fd := range c.fds {
		if _, err := fd.Read(make([]byte, 1)); errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
			c.lost[fd] = true
		}
	}
	return len(c.lost)
}

// say has each of them send a line.
func (c *crowd) say(text string) {
	for _, fd := range c.fds {
		if _, err := fd.Write([]byte(text + "\n")); errors.Is(err, unix.ECONNRESET) {
			c.lost[fd] = true
		}
	}
}
