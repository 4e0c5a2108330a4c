package chaos

import (
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/epoll"
	"onconn/sock"
)

// clientConfig is what a client process is told.
type clientConfig struct {
	Address     netip.AddrPort
	Run         uint32
	Client      int
	Connections int // how many to make; 0: until it is told to stop
	Seed        uint64
	Slots       int // connections at a time
	KeepAlive   float64
	Timeout     time.Duration
}

// A clientReport is a line that a client writes.
type clientReport struct {
	Counts
	Loss *Loss      `json:",omitempty"` // else it is about the counts
	End  *histogram `json:",omitempty"` // the last line: the times to an answer
	Slow *Answer    `json:",omitempty"` // with it: the one that took longest
	Away time.Duration
}

// Counts are what clients did. A connection counts when it is over.
type Counts struct {
	Connections int64 `json:"connections"`
	Requests    int64 `json:"requests"`
	Answered    int64 `json:"answered"`
}

// A client makes connections from one thread, with an epoll instance: what it
// needs is what the servers don't get.
type client struct {
	cfg    clientConfig
	server sock.Addr
	poll   *epoll.Poll
	slots  []slot
	out    *json.Encoder
	stop   atomic.Bool

	counts    Counts
	times     histogram
	slow      Answer
	away      time.Duration // the longest time in which it didn't get to run
	begun     int           // connections
	addresses int           // local ones, used up
	open      int
}

// client0 is the first of the addresses that clients come from: each connection
// has one of its own, so that no port is ever used twice, and notes can't be
// mistaken. What the run adds keeps those apart that follow each other.
const client0 = 64

const (
	firstPort = 2048
	portsEach = 60000
)

// clientMain is the role of a client. It stops when its standard input ends.
func clientMain(cfg clientConfig) error {
	runtime.LockOSThread()
	poll, err := epoll.New()
	if err != nil {
		return err
	}
	c := &client{cfg: cfg, server: sock.IPAddr(cfg.Address), poll: poll, slots: make([]slot, cfg.Slots), out: json.NewEncoder(os.Stdout)}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		c.stop.Store(true)
		poll.Wake()
	}()
	for i := range c.slots {
		c.slots[i] = slot{client: c, tag: int32(i), fd: sock.None}
	}
	return c.run()
}

// reportEvery is how often a client says how far it is.
const reportEvery = 20 * time.Millisecond

func (c *client) run() error {
	for i := range c.slots {
		c.slots[i].next()
	}
	events := make([]unix.EpollEvent, 256)
	var reported time.Time
	last := time.Now()
	for c.open > 0 {
		n, err := c.poll.Wait(events, time.Millisecond)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if s := &c.slots[e.Pad]; s.fd == sock.FD(e.Fd) {
				s.ready()
			}
		}
		now := time.Now()
		c.away, last = max(c.away, now.Sub(last)), now
		for i := range c.slots {
			c.slots[i].tick(now)
		}
		if now.Sub(reported) > reportEvery {
			reported = now
			c.out.Encode(clientReport{Counts: c.counts})
		}
	}
	return c.out.Encode(clientReport{Counts: c.counts, End: &c.times, Slow: &c.slow, Away: c.away})
}

// more reports whether another connection is to be made.
func (c *client) more() bool {
	return !c.stop.Load() && (c.cfg.Connections == 0 || c.begun < c.cfg.Connections)
}

// address is the next local one.
func (c *client) address() netip.AddrPort {
	i := c.addresses
	c.addresses++
	ip := netip.AddrFrom4([4]byte{127, client0 + byte(c.cfg.Run%64), byte(c.cfg.Client + 1), byte(i/portsEach%254 + 1)})
	return netip.AddrPortFrom(ip, uint16(firstPort+i%portsEach))
}
