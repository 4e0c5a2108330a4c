package sched

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A call is a connection.
type call struct {
	fd      sock.FD
	worker  int      // -1: nobody has answered yet
	waiting []action // the first has been sent, or will be when it is connected
	sent    bool
	ended   bool
}

// do begins a request, or has it wait behind those that its connection is at.
func (c *caller) do(a action) {
	c.Late = append(c.Late, c.now()-a.due)
	k := c.conns[a.conn]
	if k == nil {
		k = &call{fd: sock.None, worker: -1}
		c.conns[a.conn] = k
		if err := c.connect(k); err != nil {
			c.fail(k, err)
		}
	}
	if k.ended {
		return // it has been counted
	}
	k.waiting = append(k.waiting, a)
	c.waiting++
	if len(k.waiting) == 1 {
		c.send(k)
	}
}

func (c *caller) connect(k *call) error {
	var err error
	if k.fd, err = sock.Socket(sock.Inet, sock.Stream, 0); err != nil {
		return err
	}
	if err := k.fd.Connect(c.peer); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	c.byFD[k.fd] = k
	return c.poll.Add(k.fd, unix.EPOLLIN)
}

// send sends the first request that waits, now or when the handshake is over.
func (c *caller) send(k *call) {
	m := request(k.waiting[0].cpu, !c.Load.Stay)
	_, err := k.fd.Write(m[:])
	switch {
	case errors.Is(err, unix.EAGAIN):
		err = c.poll.Mod(k.fd, unix.EPOLLIN|unix.EPOLLOUT)
	case err == nil:
		k.sent = true
	}
	if err != nil {
		c.fail(k, err)
	}
}

func (c *caller) ready(k *call, events uint32) {
	if len(k.waiting) > 0 && !k.sent && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if err := c.poll.Mod(k.fd, unix.EPOLLIN); err != nil {
			c.fail(k, err)
			return
		}
		c.send(k)
		return
	}
	var m message
	n, err := k.fd.Read(m[:])
	switch {
	case errors.Is(err, unix.EAGAIN):
	case err != nil:
		c.fail(k, err)
	case n != messageSize || len(k.waiting) == 0 || !k.sent:
		c.fail(k, fmt.Errorf("%d bytes where %d were due: %w", n, messageSize, io.ErrUnexpectedEOF))
	default:
		c.answered(k, m.worker())
	}
}

func (c *caller) answered(k *call, worker int) {
	a := k.waiting[0]
	k.waiting, k.sent = k.waiting[1:], false
	c.waiting--
	if a.measured {
		c.Latencies = append(c.Latencies, c.now()-a.due)
	}
	if k.worker < 0 {
		k.worker = worker
		c.Workers[worker]++
	}
	switch {
	case !c.Load.Stay:
		c.end(k)
	case len(k.waiting) > 0:
		c.send(k)
	}
}

func (c *caller) fail(k *call, err error) {
	c.Failed++
	if c.Failure == "" {
		c.Failure = err.Error()
	}
	c.end(k)
}

// giveUp counts what is left without an answer, with the time until now.
func (c *caller) giveUp() {
	for _, k := range c.conns {
		for _, a := range k.waiting {
			c.Silent++
			if a.measured {
				c.Latencies = append(c.Latencies, c.now()-a.due)
			}
		}
	}
}

// end resets the connection, so that its port is free at once.
func (c *caller) end(k *call) {
	c.waiting -= len(k.waiting)
	k.waiting = nil
	if k.ended {
		return
	}
	k.ended = true
	if k.fd == sock.None {
		return
	}
	delete(c.byFD, k.fd)
	sock.Linger.Set(k.fd, sock.LingerConfig{On: true})
	k.fd.Close()
}
