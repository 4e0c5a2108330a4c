package sched

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// A task is what a client process is told to do: each Of-th connection of the
// load, from Part on.
type task struct {
	Address  netip.AddrPort
	Load     Load
	Seed     uint64
	Part, Of int
	Begin    time.Time     // by the wall clock, which all processes share
	Patience time.Duration // for answers, after the last request
}

// A harvest is what a client process has seen.
type harvest struct {
	Latencies []time.Duration // of requests that are measured, from when they were due
	Workers   map[int]int     // connections by the worker that answered
	Late      []time.Duration // how late requests were begun
	Failed    int             // connections that ended without an answer
	Silent    int             // requests without an answer in the end; Latencies has how long they waited
	Failure   string          // the first one
}

// client does a task that it reads, and writes its harvest.
func client(in io.Reader, out io.Writer) error {
	var t task
	if err := gob.NewDecoder(in).Decode(&t); err != nil {
		return err
	}
	c, err := newCaller(t)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.run(); err != nil {
		return err
	}
	return gob.NewEncoder(out).Encode(c.harvest)
}

// A caller makes the connections of a task, on one thread: what a client waits
// for keeps none of the others.
type caller struct {
	task
	harvest
	peer    sock.Addr
	poll    *epoll.Poll
	timer   sock.FD
	begin   time.Time
	conns   map[int]*call
	byFD    map[sock.FD]*call
	waiting int // requests without an answer yet
}

// A call is a connection.
type call struct {
	fd      sock.FD
	worker  int      // -1: nobody has answered yet
	waiting []action // the first has been sent, or will be when it is connected
	sent    bool
	ended   bool
}

func newCaller(t task) (*caller, error) {
	c := &caller{task: t, peer: sock.IPAddr(t.Address), conns: map[int]*call{}, byFD: map[sock.FD]*call{}}
	c.Workers = map[int]int{}
	var err error
	if c.poll, err = epoll.New(); err != nil {
		return nil, err
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		c.poll.Close()
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	c.timer = sock.FD(timer)
	if err := c.poll.Add(c.timer, unix.EPOLLIN); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *caller) close() {
	for _, k := range c.conns {
		c.end(k)
	}
	c.timer.Close()
	c.poll.Close()
}

// run makes all requests when they are due, and takes the answers.
func (c *caller) run() error {
	var mine []action
	for _, a := range c.Load.actions(c.Seed) {
		if a.conn%c.Of == c.Part {
			mine = append(mine, a)
		}
	}
	c.begin = time.Now().Add(time.Until(c.Begin)) // with the monotonic clock
	events := make([]unix.EpollEvent, 128)
	for {
		for len(mine) > 0 && mine[0].due <= c.now() {
			c.do(mine[0])
			mine = mine[1:]
		}
		var next time.Duration
		switch {
		case len(mine) > 0:
			next = mine[0].due
		case c.waiting > 0:
			next = c.Load.takes() + c.Patience
		case c.Load.Stay:
			next = c.Load.takes()
		}
		left := next - c.now()
		if left > 0 {
			if err := c.wait(left, events); err != nil {
				return err
			}
		} else if len(mine) == 0 {
			c.giveUp()
			return nil
		}
	}
}

func (c *caller) now() time.Duration { return time.Since(c.begin) }

// wait handles what happens until the time is over.
func (c *caller) wait(atMost time.Duration, events []unix.EpollEvent) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(atMost, 1)))}
	if err := unix.TimerfdSettime(int(c.timer), 0, &spec, nil); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	n, err := c.poll.Wait(events, -1)
	if err != nil {
		return err
	}
	for _, e := range events[:n] {
		if k := c.byFD[sock.FD(e.Fd)]; k != nil {
			c.ready(k, e.Events)
		}
	}
	return nil
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
