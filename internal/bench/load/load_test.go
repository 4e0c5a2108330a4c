package load

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// A server serves each connection in a goroutine, and counts.
type server struct {
	addr     string
	mu       sync.Mutex
	accepted int
	asked    int
	open     int
	from     map[string]int // connections of each address
}

func newServer(t *testing.T, serve func(s *server, c *net.TCPConn)) *server {
	t.Helper()
	testleak.FDs(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String(), from: map[string]int{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			s.mu.Lock()
			s.accepted++
			s.open++
			s.from[host]++
			s.mu.Unlock()
			all.Go(func() {
				serve(s, c.(*net.TCPConn))
				c.Close()
				s.mu.Lock()
				s.open--
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return s
}

// answers sends what is given for each request until the client goes.
func answers(text string) func(*server, *net.TCPConn) {
	return func(s *server, c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.asked++
			s.mu.Unlock()
			fmt.Fprint(c, text)
			if q.Close {
				return
			}
		}
	}
}

func response(status string, length int) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, length, strings.Repeat("x", length))
}

// run runs the load, and then keeps the server's counts as they are.
func run(t *testing.T, s *server, cfg Config) *Result {
	t.Helper()
	cfg.Addr = s.addr
	r, err := Run(cfg)
	s.mu.Lock()
	t.Cleanup(s.mu.Unlock)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range r.Latency.Counts {
		n += int(c)
	}
	if n != r.Done {
		t.Errorf("%d latencies of %d", n, r.Done)
	}
	return r
}

func TestClose(t *testing.T) {
	s := newServer(t, func(*server, *net.TCPConn) {})
	r := run(t, s, Config{Work: Close, InFlight: 4, For: 100 * time.Millisecond})
	if r.Done < 4 || r.Done != s.accepted || r.Errors() != 0 {
		t.Errorf("%d done, %d accepted, failed: %v", r.Done, s.accepted, r.Failed)
	}
	for ip, n := range s.from {
		if n > 1 {
			t.Errorf("%d connections from %s", n, ip)
		}
	}
}

func TestHTTP(t *testing.T) {
	s := newServer(t, answers(response("200 OK", Body)))
	r := run(t, s, Config{Work: HTTP, InFlight: 4, For: 100 * time.Millisecond})
	if r.Done < 4 || r.Done != s.accepted || r.Done != s.asked || r.Errors() != 0 {
		t.Errorf("%d done, %d accepted, %d asked, failed: %v", r.Done, s.accepted, s.asked, r.Failed)
	}
}

func TestKeepAlive(t *testing.T) {
	s := newServer(t, answers(response("200 OK", Body)))
	r := run(t, s, Config{Work: KeepAlive, InFlight: 4, For: 100 * time.Millisecond})
	if r.Done < 8 || s.accepted != 4 || r.Done != s.asked || r.Errors() != 0 {
		t.Errorf("%d done, %d accepted, %d asked, failed: %v", r.Done, s.accepted, s.asked, r.Failed)
	}
}

// TestFailures: nothing that goes wrong is taken for an answer.
func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		work  Work
		serve func(*server, *net.TCPConn)
		want  string
	}{
		"reset":          {Close, func(_ *server, c *net.TCPConn) { c.SetLinger(0) }, "reset"},
		"speaks":         {Close, func(_ *server, c *net.TCPConn) { fmt.Fprint(c, "x") }, "wrong"},
		"status":         {HTTP, answers(response("500 Oh", Body)), "wrong"},
		"short":          {HTTP, answers(response("200 OK", Body-1)), "length"},
		"long":           {HTTP, answers(response("200 OK", Body+1)), "length"},
		"endless":        {HTTP, answers(response("200 OK", 2000)), "wrong"},
		"silent":         {HTTP, answers(""), "closed"},
		"doesn't stay":   {KeepAlive, func(_ *server, c *net.TCPConn) { c.Read(make([]byte, 100)) }, "closed"},
		"never answers":  {HTTP, func(_ *server, c *net.TCPConn) { c.Read(make([]byte, 100)); c.Read(make([]byte, 1)) }, "timeout"},
		"never comes to": {KeepAlive, answers(response("200 OK", Body+1)), "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, test.serve)
			r := run(t, s, Config{Work: test.work, InFlight: 2, For: 20 * time.Millisecond})
			if r.Done != 0 || r.Failed[test.want] < 2 || r.Errors() != r.Failed[test.want] {
				t.Errorf("%d done, failed: %v, want %s", r.Done, r.Failed, test.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	r := run(t, &server{addr: ln.Addr().String()}, Config{Work: Close, Rate: 1000, For: 20 * time.Millisecond})
	if r.Done != 0 || r.Failed["refused"] != 20 {
		t.Errorf("%d done, failed: %v", r.Done, r.Failed)
	}
}

func TestCheck(t *testing.T) {
	for _, cfg := range []Config{
		{Work: "dance", InFlight: 1}, {Work: HTTP}, {Work: HTTP, InFlight: 1, Rate: 1}, {Work: KeepAlive, Rate: 1},
	} {
		if cfg.Check() == nil {
			t.Errorf("%+v passes", cfg)
		}
	}
}

// TestStall: all that should have begun while the server did nothing have waited, not
// only the one that the server has in hand (coordinated omission).
func TestStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	var turn sync.Mutex // one connection at a time
	n := 0
	s := newServer(t, func(*server, *net.TCPConn) {
		turn.Lock()
		defer turn.Unlock()
		if n++; n == 20 {
			time.Sleep(stall)
		}
	})
	r := run(t, s, Config{Work: Close, Rate: 500, For: 2 * stall})
	if r.Done != 200 || s.accepted != 200 || r.Errors() != 0 {
		t.Errorf("%d done of 200, %d accepted, failed: %v", r.Done, s.accepted, r.Failed)
	}
	// A half of all began in the stall, evenly.
	if p75, p99 := r.Latency.Quantile(0.75), r.Latency.Quantile(0.99); p75 < stall/3 || p99 < stall*9/10 {
		t.Errorf("p75 %v, p99 %v with a stall of %v", p75, p99, stall)
	}
}

// TestLate: what begins too late begins all the same.
func TestLate(t *testing.T) {
	s := newServer(t, func(*server, *net.TCPConn) {})
	r := run(t, s, Config{Work: Close, Rate: 1e6, For: 3 * time.Millisecond})
	if r.Late == 0 || r.Done+r.Errors() != 3000 {
		t.Errorf("%d late, %d done, failed: %v", r.Late, r.Done, r.Failed)
	}
}

func TestHold(t *testing.T) {
	s := newServer(t, answers(response("200 OK", Body)))
	err := Hold(s.addr, 50, true, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open != 50 || s.asked != 50 {
			t.Errorf("%d open, %d asked", s.open, s.asked)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := Hold(s.addr, 1, true, func() error { return net.ErrClosed }); err != net.ErrClosed {
		t.Error(err)
	}
}
