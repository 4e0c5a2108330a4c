package load

import (
	"bytes"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

var (
	get      = []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
	getClose = []byte("GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
	ok       = []byte("HTTP/1.1 200 ")
	blank    = []byte("\r\n\r\n")
)

// Body is how long the body of each answer is.
const Body = 100

// begin makes a connection that should have begun at due.
func (c *client) begin(due time.Duration) {
	fd, err := c.connect()
	if err != nil {
		c.result.Failed[kind(err)]++
		return
	}
	if missing := int(fd) + 1 - len(c.conns); missing > 0 {
		c.conns = append(c.conns, make([]conn, max(missing, len(c.conns)))...)
	}
	k := &c.conns[fd]
	k.open, k.sent, k.due, k.got = true, c.cfg.Work == Close, due, 0
	c.live++
	events := uint32(unix.EPOLLIN)
	if !k.sent {
		if !c.send(fd) {
			return
		}
		if !k.sent {
			events |= unix.EPOLLOUT
		}
	}
	if err := c.poll.Add(fd, events); err != nil {
		c.end(fd, kind(err))
	}
}

func (c *client) connect() (sock.FD, error) {
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		return sock.None, err
	}
	if err := c.from.bind(fd); err != nil {
		fd.Close()
		return sock.None, err
	}
	if err := fd.Connect(c.to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		fd.Close()
		return sock.None, err
	}
	return fd, nil
}

// send sends the request if that can be done now, and reports whether the connection
// is still there.
func (c *client) send(fd sock.FD) bool {
	request := get
	if c.cfg.Work == HTTP {
		request = getClose
	}
	n, err := fd.Send(request, unix.MSG_DONTWAIT)
	switch {
	case n == len(request):
		c.conns[fd].sent = true
	case errors.Is(err, unix.EAGAIN):
	case err == nil:
		c.end(fd, "short write")
		return false
	default:
		c.end(fd, kind(err))
		return false
	}
	return true
}

// ready reads what has come, or sends what couldn't be sent.
func (c *client) ready(fd sock.FD) {
	k := &c.conns[fd]
	if !k.open {
		return
	}
	if !k.sent {
		if !c.send(fd) || !k.sent {
			return
		}
		if err := c.poll.Mod(fd, unix.EPOLLIN); err != nil {
			c.end(fd, kind(err))
			return
		}
	}
	for {
		if k.got == len(k.bytes) {
			c.end(fd, "wrong")
			return
		}
		n, err := fd.Recv(k.bytes[k.got:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			c.end(fd, kind(err))
			return
		case n == 0:
			c.end(fd, c.judge(k))
			return
		}
		k.got += n
		if c.cfg.Work == KeepAlive && complete(k.bytes[:k.got]) {
			c.next(fd, k)
			return
		}
	}
}

// judge says what is wrong when the server has closed; "": nothing.
func (c *client) judge(k *conn) string {
	switch c.cfg.Work {
	case Close:
		if k.got > 0 {
			return "wrong"
		}
		return ""
	case KeepAlive:
		return "closed"
	}
	switch answer := k.bytes[:k.got]; {
	case complete(answer):
		return ""
	case k.got == 0:
		return "closed"
	case !bytes.HasPrefix(answer, ok[:min(k.got, len(ok))]):
		return "wrong"
	}
	return "length"
}

// complete reports whether an answer of status 200 with its body is there.
func complete(answer []byte) bool {
	if !bytes.HasPrefix(answer, ok) {
		return false
	}
	head := bytes.Index(answer, blank)
	return head >= 0 && len(answer) == head+len(blank)+Body
}

// next begins the next request on a connection that stays.
func (c *client) next(fd sock.FD, k *conn) {
	now := time.Since(c.start)
	c.result.Done++
	c.result.Latency.add(now - k.due)
	if now >= c.cfg.For {
		c.drop(fd)
		return
	}
	k.due, k.got, k.sent = now, 0, false
	if c.send(fd) && !k.sent {
		if err := c.poll.Mod(fd, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
			c.end(fd, kind(err))
		}
	}
}

// end counts a connection, with what was wrong, and begins another one.
func (c *client) end(fd sock.FD, wrong string) {
	if wrong == "" {
		c.result.Done++
		c.result.Latency.add(time.Since(c.start) - c.conns[fd].due)
	} else {
		c.result.Failed[wrong]++
	}
	c.drop(fd)
	c.again()
}

func (c *client) drop(fd sock.FD) {
	c.conns[fd].open = false
	c.live--
	fd.Close()
}
