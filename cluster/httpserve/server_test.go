package httpserve

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// One drain is that of all listeners, and ends when all connections have.
func TestSeveralListeners(t *testing.T) {
	testleak.FDs(t)
	s := &Server{Timeout: time.Hour}
	first := run(t, s, ok)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second := &running{s, t, ln.Addr().String(), first.begin, make(chan error, 1)}
	go func() { second.ended <- s.Serve(ln) }()
	a, b := first.dial(), second.dial()
	eventually(t, "two connections", func() bool { return first.count() == 2 })
	first.drain()
	a.Close()
	eventually(t, "one", func() bool { return first.count() == 1 })
	if len(first.ended)+len(second.ended) > 0 {
		t.Error("Serve returned before all were over")
	}
	b.send(get)
	b.answer(true)
	b.Close()
	first.drained(nil)
	second.drained(nil)
	if _, err := net.Dial("tcp", second.addr); err == nil {
		t.Error("it still listens")
	}
}

// The program's functions are called, and what a ResponseWriter of net/http can
// do, ours can.
func TestProgramsOwn(t *testing.T) {
	testleak.FDs(t)
	file := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var states []http.ConnState
	s := &Server{Timeout: time.Hour, HTTP: &http.Server{ConnState: func(_ net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, state)
	}}}
	r := run(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var _ = w.(interface {
			http.Flusher
			http.Hijacker
			io.ReaderFrom
			io.StringWriter
			CloseNotify() <-chan bool
		})
		c := http.NewResponseController(w)
		if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}), c.EnableFullDuplex()); err != nil {
			t.Error(err)
		}
		http.ServeFile(w, r, file)
	}))
	p := r.dial()
	p.send(get)
	if s := p.answer(false); s != "200 "+string(content) {
		t.Errorf("%d bytes", len(s))
	}
	p.Close()
	eventually(t, "closed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(states) == 4 && states[3] == http.StateClosed
	})
	r.drain()
	r.drained(nil)
}

func TestDefaults(t *testing.T) {
	for _, tt := range []struct{ timeout, grace, wantTimeout, wantGrace time.Duration }{
		{0, 0, 9 * time.Second, 4500 * time.Millisecond},
		{time.Second, 0, time.Second, 500 * time.Millisecond},
		{time.Minute, 0, time.Minute, maxGrace},
		{time.Minute, time.Hour, time.Minute, time.Hour},
	} {
		s := &Server{HTTP: &http.Server{}, Timeout: tt.timeout, Grace: tt.grace}
		if s.prepare(); s.timeout != tt.wantTimeout || s.grace != tt.wantGrace || s.err != nil {
			t.Errorf("%v %v: %v %v, %v", tt.timeout, tt.grace, s.timeout, s.grace, s.err)
		}
	}
}

// Without a drain Serve returns as that of net/http does.
func TestOtherEnds(t *testing.T) {
	testleak.FDs(t)
	listening := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	closed := listening()
	closed.Close()
	if err := Serve(&http.Server{}, closed); !errors.Is(err, net.ErrClosed) {
		t.Error("a listener that is closed: ", err)
	}
	if err := ServeTLS(&http.Server{}, listening(), "no such", "file"); !errors.Is(err, os.ErrNotExist) {
		t.Error("no certificate: ", err)
	}
	for _, s := range []*Server{{Timeout: -1}, {Grace: -1}} {
		s.HTTP = &http.Server{}
		if err := s.Serve(listening()); err == nil || !strings.Contains(err.Error(), "-1") {
			t.Error(err)
		}
	}
	weak := &http.Server{TLSConfig: &tls.Config{CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}}
	if err := Serve(weak, listening()); err == nil || !strings.Contains(err.Error(), "CipherSuites") {
		t.Error("no cipher for HTTP/2: ", err)
	}
	ln := listening()
	go func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			c.Close()
		}
	}()
	if err := Serve(&http.Server{}, tls.NewListener(ln, &tls.Config{})); err == nil || !strings.Contains(err.Error(), "use ServeTLS") {
		t.Error("a listener of crypto/tls: ", err)
	}
	r := run(t, &Server{}, ok)
	p := r.dial()
	p.send(get)
	p.answer(false)
	r.HTTP.Shutdown(t.Context())
	p.eof()
	r.drained(http.ErrServerClosed)
}
