package load

import (
	"errors"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// A client is one run.
type client struct {
	cfg    Config
	to     sock.Addr
	from   source
	poll   *epoll.Poll
	timer  sock.FD // for an open loop
	start  time.Time
	conns  []conn // by descriptor
	live   int
	result Result
}

// A conn is a connection, or the request on it.
type conn struct {
	open  bool
	sent  bool
	due   time.Duration // when it should have begun
	got   int           // bytes of answer
	bytes [1024]byte
}

// Run does it. What fails with connections stands in the result; an error is one of
// the client itself.
func Run(cfg Config) (*Result, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.For <= 0 {
		return nil, errors.New("load: for how long?")
	}
	addr, err := net.ResolveTCPAddr("tcp4", cfg.Addr)
	if err != nil {
		return nil, err
	}
	c := &client{cfg: cfg, to: sock.FromNetAddr(addr), from: newSource(), timer: sock.None, conns: make([]conn, 512)}
	c.result = Result{Failed: map[string]int{}, Latency: newHistogram()}
	if c.poll, err = epoll.New(); err != nil {
		return nil, err
	}
	defer c.poll.Close()
	if cfg.Rate > 0 {
		if err := c.openTimer(); err != nil {
			return nil, err
		}
		defer c.timer.Close()
	}
	defer c.closeAll()
	c.start = time.Now()
	if err := c.run(); err != nil {
		return nil, err
	}
	c.result.Elapsed = time.Since(c.start)
	return &c.result, nil
}

// openTimer makes a timer of the kernel's that is due whenever a connection is: a
// timeout of epoll_wait has only milliseconds.
func (c *client) openTimer() error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	c.timer = sock.FD(fd)
	every := unix.NsecToTimespec(int64(max(float64(time.Second)/c.cfg.Rate, 1)))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	return c.poll.Add(c.timer, unix.EPOLLIN)
}

func (c *client) run() error {
	var events [128]unix.EpollEvent
	begun := 0
	for range c.cfg.InFlight {
		c.begin(0)
	}
	for {
		now := time.Since(c.start)
		if now >= c.cfg.For {
			if c.live == 0 {
				return nil
			}
			if now >= c.cfg.For+Grace {
				c.result.Failed["timeout"] += c.live
				return nil
			}
		}
		for c.cfg.Rate > 0 {
			due := time.Duration(float64(begun) / c.cfg.Rate * float64(time.Second))
			if due > now || due >= c.cfg.For {
				break
			}
			begun++
			if now-due > late {
				c.result.Late++
			}
			c.begin(due)
		}
		n, err := wait(c.poll.Descriptor(), events[:])
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if fd := sock.FD(e.Fd); fd != c.timer {
				c.ready(fd)
			} else {
				var ticks [8]byte
				fd.Read(ticks[:]) // it goes on when it has been read
			}
		}
	}
}

// late is how long after its time a connection may begin without being counted.
const late = time.Millisecond

// wait is epoll_wait for a tenth of a second at most. Nothing else runs in this
// process, so the Go scheduler needn't hear of it.
func wait(fd sock.FD, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 100, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, os.NewSyscallError("epoll_pwait", errno)
}

// again begins the next one of a closed loop.
func (c *client) again() {
	if now := time.Since(c.start); c.cfg.InFlight > 0 && now < c.cfg.For {
		c.begin(now)
	}
}

func (c *client) closeAll() {
	for fd := range c.conns {
		if c.conns[fd].open {
			sock.FD(fd).Close()
		}
	}
}

// kind names an error in a result.
func kind(err error) string {
	for _, k := range []struct {
		errno unix.Errno
		name  string
	}{{unix.ECONNREFUSED, "refused"}, {unix.ECONNRESET, "reset"}, {unix.EPIPE, "reset"}, {unix.ETIMEDOUT, "timeout"}} {
		if errors.Is(err, k.errno) {
			return k.name
		}
	}
	return err.Error()
}
