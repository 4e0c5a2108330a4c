package sched

import (
	"encoding/gob"
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
