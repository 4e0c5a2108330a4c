package load

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/internal/testleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const answerHead = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"

var answer = answerHead + strings.Repeat("x", Body)

// serve has f serve each connection on a goroutine of its own.
func serve(t *testing.T, f func(net.Conn)) (addr string) {
	t.Helper()
	testleak.FDs(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// request reads one request.
func request(conn net.Conn) error {
	var b [512]byte
	n, err := conn.Read(b[:])
	if err == nil && !strings.HasSuffix(string(b[:n]), "\r\n\r\n") {
		err = fmt.Errorf("half a request: %q", b[:n])
	}
	return err
}

func run(t *testing.T, cfg Config) *Result {
	t.Helper()
	r, err := Run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWorks counts on both sides.
func TestWorks(t *testing.T) {
	for _, tt := range []struct {
		cfg   Config
		serve func(net.Conn, *atomic.Int64)
	}{
		{Config{Work: Close, InFlight: 8}, func(_ net.Conn, n *atomic.Int64) { n.Add(1) }},
		{Config{Work: Close, Rate: 500}, func(_ net.Conn, n *atomic.Int64) { n.Add(1) }},
		{Config{Work: HTTP, InFlight: 8}, func(c net.Conn, n *atomic.Int64) {
			if request(c) == nil {
				n.Add(1)
				io.WriteString(c, answer)
			}
		}},
		{Config{Work: KeepAlive, InFlight: 8}, func(c net.Conn, n *atomic.Int64) {
			for request(c) == nil {
				n.Add(1)
				io.WriteString(c, answer[:50]) // in two pieces
				io.WriteString(c, answer[50:])
			}
		}},
	} {
		t.Run(fmt.Sprintf("%s %d %.0f", tt.cfg.Work, tt.cfg.InFlight, tt.cfg.Rate), func(t *testing.T) {
			var n atomic.Int64
			tt.cfg.Addr = serve(t, func(c net.Conn) { tt.serve(c, &n) })
			tt.cfg.For = 200 * time.Millisecond
			r := run(t, tt.cfg)
			if r.Errors() != 0 || r.Done == 0 || int64(r.Done) != n.Load() {
				t.Errorf("%d done, %d served, failed: %v", r.Done, n.Load(), r.Failed)
			}
			if tt.cfg.Rate > 0 && r.Done != 100 {
				t.Errorf("%d connections at 500/s in 0.2 s", r.Done)
			}
			counted := 0
			for _, c := range r.Latency.Counts {
				counted += int(c)
			}
			if counted != r.Done {
				t.Errorf("%d latencies of %d", counted, r.Done)
			}
		})
	}
}

// TestFailures: nothing that a server does wrong is taken for an answer.
func TestFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		work  Work
		serve func(net.Conn)
		kind  string
	}{
		"reset":             {HTTP, func(c net.Conn) { request(c); c.(*net.TCPConn).SetLinger(0) }, "reset"},
		"no answer":         {HTTP, func(c net.Conn) { request(c) }, "short"},
		"cut":               {HTTP, func(c net.Conn) { request(c); io.WriteString(c, answer[:len(answer)-1]) }, "short"},
		"status":            {HTTP, func(c net.Conn) { request(c); io.WriteString(c, "HTTP/1.1 500 No\r\n\r\n") }, "wrong"},
		"too long":          {HTTP, func(c net.Conn) { request(c); io.WriteString(c, strings.Repeat(answer, 9)); request(c) }, "wrong"},
		"says something":    {Close, func(c net.Conn) { io.WriteString(c, "hello") }, "wrong"},
		"closes keep-alive": {KeepAlive, func(c net.Conn) { request(c); io.WriteString(c, answer); request(c) }, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, Config{Addr: serve(t, tt.serve), Work: tt.work, InFlight: 2, For: 50 * time.Millisecond})
			if r.Failed[tt.kind] == 0 || len(r.Failed) != 1 {
				t.Errorf("%d done, failed: %v; want it to be %q", r.Done, r.Failed, tt.kind)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		testleak.FDs(t)
		r := run(t, Config{Addr: "127.0.0.1:1", Work: Close, Rate: 100, For: 50 * time.Millisecond})
		if r.Failed["refused"] != 5 {
			t.Errorf("failed: %v", r.Failed)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		r := run(t, Config{Addr: serve(t, func(net.Conn) { <-end }), Work: HTTP, InFlight: 3, For: 10 * time.Millisecond})
		if r.Failed["timeout"] != 3 {
			t.Errorf("failed: %v", r.Failed)
		}
	})
}

// TestOmission: a server that stalls makes those wait too that couldn't be begun while
// it did, and an open loop counts them.
func TestOmission(t *testing.T) {
	const stall = 300 * time.Millisecond
	var first atomic.Bool
	addr := serve(t, func(c net.Conn) {
		if !first.Swap(true) {
			time.Sleep(stall)
		}
	})
	r := run(t, Config{Addr: addr, Work: Close, Rate: 100, For: 100 * time.Millisecond})
	if r.Done != 10 || r.Latency.Max < stall {
		t.Errorf("%d done, the slowest in %v", r.Done, r.Latency.Max)
	}
	c := &client{start: time.Now().Add(-time.Second), result: Result{Latency: newHistogram(), Failed: map[string]int{}}, conns: make([]conn, 1)}
	c.conns[0] = conn{open: true, due: 200 * time.Millisecond} // begun late, when it is over
	c.live = 1
	c.result.Latency.add(time.Since(c.start) - c.conns[0].due)
	if got := c.result.Latency.Quantile(1); got < 800*time.Millisecond {
		t.Errorf("one that was due 0.8 s ago has a latency of %v", got)
	}
}

func TestHold(t *testing.T) {
	var open, asked atomic.Int64
	addr := serve(t, func(c net.Conn) {
		open.Add(1)
		for request(c) == nil {
			asked.Add(1)
			io.WriteString(c, answer)
		}
		open.Add(-1)
	})
	for _, ask := range []bool{false, true} {
		err := Hold(addr, 20, ask, func() error {
			for end := time.Now().Add(10 * time.Second); open.Load() != 20; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					return fmt.Errorf("%d are open", open.Load())
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		for end := time.Now().Add(10 * time.Second); open.Load() != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d are still open", open.Load())
			}
		}
	}
	if asked.Load() != 20 {
		t.Errorf("%d requests", asked.Load())
	}
	if err := Hold("127.0.0.1:1", 1, false, func() error { return nil }); err == nil {
		t.Error("nobody listens there")
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{
		{Work: "knit", InFlight: 1, For: 1}, {Work: HTTP, For: 1}, {Work: HTTP, InFlight: 1, Rate: 1, For: 1},
		{Work: KeepAlive, Rate: 1, For: 1}, {Work: HTTP, InFlight: 1},
	} {
		if _, err := Run(c); err == nil {
			t.Errorf("%+v is not refused", c)
		}
	}
}

func TestHistogram(t *testing.T) {
	h := newHistogram()
	if h.Quantile(0.5) != 0 {
		t.Error("of nothing")
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		got := h.Quantile(q)
		if diff := float64(got-want) / float64(want); diff < -0.04 || diff > 0.04 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	for d := time.Duration(1); d < time.Hour; d = d*5/4 + 1 {
		if b := bucket(d); lowest(b) > d || lowest(b+1) <= d {
			t.Fatalf("%v is in bucket %d, from %v to %v", d, b, lowest(b), lowest(b+1))
		}
	}
	h.add(24 * time.Hour) // beyond the last bucket
}

// TestLate: what begins too late is counted, and begins all the same.
func TestLate(t *testing.T) {
	addr := serve(t, func(net.Conn) {})
	r := run(t, Config{Addr: addr, Work: Close, Rate: 1e6, For: 3 * time.Millisecond})
	if r.Late == 0 || r.Done+r.Errors() != 3000 {
		t.Errorf("%d late, %d done, failed: %v", r.Late, r.Done, r.Failed)
	}
}
