// Package churn has members of a group come and go under load, and counts the
// connections that this costs.
package churn

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onconn/internal/netns"
	"onconn/reuseport"
)

// Connections is how many a run makes, Clients how many at a time.
var (
	Connections = flag.Int("reuseport.connections", 1000, "connections of each row of the loss tests")
	Clients     = flag.Int("reuseport.clients", 32, "clients of the loss tests")
)

// A Network is where a run takes place.
type Network struct {
	Name    string
	Address string
	server  *netns.Namespace
	client  *netns.Namespace
}

// Networks are loopback and, where we may make them, two namespaces 10 ms apart.
func Networks(t *testing.T, run func(*testing.T, Network)) {
	t.Run("loopback", func(t *testing.T) {
		ns := netns.New(t)
		run(t, Network{"loopback", "127.0.0.1:8000", ns, ns})
	})
	t.Run("10ms", func(t *testing.T) {
		server, client := netns.New(t), netns.New(t)
		a, b := netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24")
		netns.Delay(t, server, client, a, b, 5*time.Millisecond)
		run(t, Network{"10ms", "10.0.0.1:8000", server, client})
	})
}

// Members is how many a group has at least so that one more can be steered away
// from by IncomingCPU: one for each CPU.
func Members() int {
	cpus, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*")
	return max(4, len(cpus))
}

// A Result is what a run has seen.
type Result struct {
	Connections, Lost int64
	Restarts          int
	Rescued, Rounds   int
	Waited, Most      time.Duration // in all; the longest
	Took              time.Duration
	FirstLoss         error
}

func (r Result) String() string {
	s := fmt.Sprintf("lost %d of %d (%d restarts, %.0f connections/s)", r.Lost, r.Connections, r.Restarts,
		float64(r.Connections)/r.Took.Seconds())
	if r.Waited > 0 {
		s += fmt.Sprintf(", waited %v on average, %v at most, %d rounds",
			(r.Waited / time.Duration(max(r.Restarts, 1))).Round(time.Millisecond), r.Most.Round(time.Millisecond), r.Rounds)
	}
	if r.FirstLoss != nil {
		s += fmt.Sprintf("; %v", r.FirstLoss)
	}
	return s
}

// Run makes connections to a group while its oldest member is ended over and
// over, and a new one joins before. The group has n members besides.
func Run(t *testing.T, nw Network, cfg reuseport.Config, n int, end func(*reuseport.Group, *reuseport.Member) (reuseport.Report, error)) Result {
	t.Helper()
	return RunOf(t, nw, cfg, n, Oldest, end)
}

// RunOf is Run for the member that which picks.
func RunOf(t *testing.T, nw Network, cfg reuseport.Config, n int, which func(*reuseport.Group) *reuseport.Member, end func(*reuseport.Group, *reuseport.Member) (reuseport.Report, error)) Result {
	t.Helper()
	var r Result
	var g *reuseport.Group
	nw.server.Do(func() {
		var err error
		if g, err = cfg.Listen(context.Background(), "tcp", nw.Address, n); err != nil {
			t.Fatal(err)
		}
	})
	var servers sync.WaitGroup
	for _, m := range g.Members() {
		servers.Go(func() { serve(m) })
	}
	start := time.Now()
	over := load(nw, &r)
	nw.server.Do(func() {
		for !over() {
			m, err := g.Join(context.Background())
			if err != nil {
				t.Error("join: ", err)
				break
			}
			servers.Go(func() { serve(m) })
			report, err := end(g, which(g))
			if err != nil {
				t.Error("end: ", err)
				break
			}
			r.Restarts++
			r.Rescued += report.Rescued
			r.Rounds += report.Rounds
			r.Waited += report.Waited
			r.Most = max(r.Most, report.Waited)
			if report.HalfOpen+report.Queued > 0 {
				t.Logf("at the limit: %v", report)
			}
		}
	})
	for !over() {
		time.Sleep(10 * time.Millisecond)
	}
	r.Took = time.Since(start)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	servers.Wait()
	return r
}

// Oldest is the member that joined first.
func Oldest(g *reuseport.Group) *reuseport.Member {
	return slices.MinFunc(g.Members(), func(a, b *reuseport.Member) int { return int(a.ID - b.ID) })
}

// Youngest is the member that joined last: the first in the kernel's bucket.
func Youngest(g *reuseport.Group) *reuseport.Member {
	return slices.MaxFunc(g.Members(), func(a, b *reuseport.Member) int { return int(a.ID - b.ID) })
}

// serve answers a byte with a byte, on connections that stay short.
func serve(m *reuseport.Member) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := m.Accept()
		if err != nil {
			return
		}
		conns.Go(func() {
			defer c.Close()
			var b [1]byte
			if _, err := c.Read(b[:]); err == nil {
				c.Write(b[:])
				c.Read(b[:]) // the client's end
			}
		})
	}
}

// load starts the clients and returns what tells whether they have finished.
func load(nw Network, r *Result) (over func() bool) {
	var left atomic.Int64
	left.Store(int64(*Connections))
	var running sync.WaitGroup
	var first sync.Once
	for range *Clients {
		running.Go(func() {
			nw.client.Do(func() {
				for left.Add(-1) >= 0 {
					atomic.AddInt64(&r.Connections, 1)
					if err := ask(nw.Address); err != nil {
						atomic.AddInt64(&r.Lost, 1)
						first.Do(func() { r.FirstLoss = err })
					}
				}
			})
		})
	}
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	return func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// ask makes one connection. It is reset at the end, so that its port is free.
func ask(address string) (err error) {
	conn, err := net.DialTimeout("tcp", address, 30*time.Second)
	if err != nil {
		return err
	}
	c := conn.(*net.TCPConn)
	defer func() { err = errors.Join(err, c.SetLinger(0), c.Close()) }()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	b := []byte{1}
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err = c.Read(b)
	return err
}
