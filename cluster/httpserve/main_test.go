package httpserve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what should happen soon.
const patience = 20 * time.Second

// A running server is drained by a channel.
type running struct {
	*Server
	t     testing.TB
	addr  string
	begin chan struct{}
	ended chan error
}

// run serves on a port of its own until the test ends. s.HTTP and s.Begin may be
// nil.
func run(t testing.TB, s *Server, handler http.Handler) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return runOn(t, s, ln, handler, nil)
}

func runOn(t testing.TB, s *Server, ln net.Listener, handler http.Handler, serve func(net.Listener) error) *running {
	t.Helper()
	if s.HTTP == nil {
		s.HTTP = &http.Server{}
	}
	s.HTTP.Handler = handler
	if serve == nil {
		serve = s.Serve
	}
	r := &running{s, t, ln.Addr().String(), make(chan struct{}), make(chan error, 1)}
	s.Begin = r.begin
	s.once.Do(s.prepare)
	go func() { r.ended <- serve(ln) }()
	t.Cleanup(func() {
		s.HTTP.Close()
		select {
		case <-r.ended:
		case <-time.After(patience):
			t.Error("Serve doesn't return")
		}
	})
	return r
}

// drain begins the drain, and returns when it has.
func (r *running) drain() {
	r.t.Helper()
	close(r.begin)
	r.Server.drain()
}

// drained waits for the end of Serve.
func (r *running) drained(want error) {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if !errors.Is(err, want) {
			r.t.Errorf("Serve: %v, not %v", err, want)
		}
		r.ended <- err // for the cleanup
	case <-time.After(patience):
		r.t.Fatal("the drain doesn't end")
	}
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not ", what)
		}
	}
}

// A peer is a client by hand.
type peer struct {
	net.Conn
	t    testing.TB
	from *bufio.Reader
}

func (r *running) dial() *peer {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &peer{c, r.t, bufio.NewReader(c)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// answer reads one answer, and fails unless it is the last one or not, as wanted.
func (p *peer) answer(last bool) string {
	p.t.Helper()
	resp, err := http.ReadResponse(p.from, nil)
	if err != nil {
		p.t.Fatal("no answer: ", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal("half an answer: ", err)
	}
	if resp.Close != last {
		p.t.Errorf("Connection: close %v, not %v", resp.Close, last)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

// eof waits for the end of the stream: no reset, and not another answer.
func (p *peer) eof() {
	p.t.Helper()
	if b, err := p.from.ReadByte(); err != io.EOF {
		p.t.Errorf("the connection didn't end: %q, %v", b, err)
	}
}

func (p *peer) open() {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := p.from.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Errorf("the connection isn't open: %v", err)
	}
	p.SetReadDeadline(time.Now().Add(patience))
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
