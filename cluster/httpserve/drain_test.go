package httpserve

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"onconn/internal/testleak"
)

// A connection that is idle is served during the grace, whether or not it has
// had a request before; and one answer says that it is the last.
func TestLateRequest(t *testing.T) {
	testleak.FDs(t)
	r := run(t, &Server{Timeout: time.Hour}, ok)
	silent, idle, begun := r.dial(), r.dial(), r.dial()
	idle.send(get)
	idle.answer(false)
	begun.send(get[:len(get)-2])
	eventually(t, "three connections", func() bool { return r.count() == 3 })
	r.drain()
	for _, p := range []*peer{silent, idle} {
		p.open()
		p.send(get)
	}
	begun.send(get[len(get)-2:])
	for _, p := range []*peer{silent, idle, begun} {
		if s := p.answer(true); s != "200 ok" {
			t.Error(s)
		}
		p.eof()
		p.Close()
	}
	r.drained(nil)
}

func (r *running) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// After the grace connections without a request are closed, but none that has
// begun one.
func TestGrace(t *testing.T) {
	testleak.FDs(t)
	r := run(t, &Server{Timeout: time.Hour, Grace: 20 * time.Millisecond}, ok)
	silent, idle, begun := r.dial(), r.dial(), r.dial()
	idle.send(get)
	idle.answer(false)
	begun.send(get[:len(get)-2])
	eventually(t, "three connections, one request begun", func() bool { return r.count() == 3 && r.busy() == 1 })
	silent.open()
	idle.open()
	r.drain()
	silent.eof()
	idle.eof()
	begun.open()
	begun.send(get[len(get)-2:])
	if s := begun.answer(true); s != "200 ok" {
		t.Error(s)
	}
	begun.eof()
	r.drained(nil)
}

// busy is how many connections have begun a request.
func (r *running) busy() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.mu.Lock()
		if !c.idle {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// A drain that begins while a handler runs is announced by its answer, and one
// that begins when the answer is half out gives the client its grace after that.
func TestHandlerRunning(t *testing.T) {
	testleak.FDs(t)
	enter, leave := make(chan string), make(chan struct{})
	r := run(t, &Server{Timeout: time.Hour}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/flushed":
			w.WriteHeader(http.StatusAccepted)
			w.(http.Flusher).Flush()
		case "/informed":
			w.WriteHeader(http.StatusEarlyHints)
		case "/stubborn":
			w.Header().Set("Connection", "keep-alive")
		}
		enter <- r.URL.Path
		<-leave
		if r.URL.Path != "/silent" {
			io.WriteString(w, r.URL.Path)
		}
	}))
	peers := map[string]*peer{}
	for _, path := range []string{"/writes", "/silent", "/flushed", "/informed", "/stubborn"} {
		peers[path] = r.dial()
		peers[path].send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if s := <-enter; s != path {
			t.Fatal(s)
		}
	}
	r.drain()
	close(leave)
	for path, want := range map[string]string{"/writes": "200 /writes", "/silent": "200 ", "/stubborn": "200 /stubborn"} {
		if s := peers[path].answer(true); s != want {
			t.Error(s)
		}
		peers[path].eof()
	}
	peers["/informed"].answer(false) // 103
	if s := peers["/informed"].answer(true); s != "200 /informed" {
		t.Error(s)
	}
	flushed := peers["/flushed"]
	if s := flushed.answer(false); s != "202 /flushed" {
		t.Error(s)
	}
	go func() { <-enter }()
	flushed.send("GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
	if s := flushed.answer(true); s != "200 /again" {
		t.Error(s)
	}
	for _, p := range peers {
		p.Close()
	}
	r.drained(nil)
}

// An upload that takes longer than the grace is taken in whole.
func TestSlowUpload(t *testing.T) {
	testleak.FDs(t)
	r := run(t, &Server{Timeout: time.Hour, Grace: time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, " ", err, " ", r.Context().Err())
	}))
	up, idle := r.dial(), r.dial()
	const size, piece = 1 << 20, 64 << 10
	up.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size))
	up.send(strings.Repeat("x", piece))
	eventually(t, "an upload and an idle connection", func() bool { return r.count() == 2 && r.busy() == 1 })
	r.drain()
	idle.eof() // the grace is over
	for range size/piece - 1 {
		up.send(strings.Repeat("x", piece))
	}
	if s := up.answer(true); s != fmt.Sprintf("200 %d <nil> <nil>", size) {
		t.Error(s)
	}
	up.eof()
	r.drained(nil)
}

// The last answer arrives whole though it is larger than the socket's buffers,
// and the client sends more meanwhile.
func TestLargeAnswer(t *testing.T) {
	testleak.FDs(t)
	large := bytes.Repeat([]byte("x"), 8<<20)
	r := run(t, &Server{Timeout: time.Hour}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(large) }))
	p := r.dial()
	eventually(t, "a connection", func() bool { return r.count() == 1 })
	r.drain()
	p.send(get)
	if b, err := p.from.Peek(1); err != nil {
		t.Fatal(b, err)
	}
	p.send(strings.Repeat(get, 10_000)) // more than net/http reads ahead
	if s := p.answer(true); s != "200 "+string(large) {
		t.Errorf("%d bytes", len(s))
	}
	p.eof()
	p.Close()
	r.drained(nil)
}

// A client with requests in the pipeline learns which one was the last, and no
// request is done whose answer it doesn't get.
func TestPipeline(t *testing.T) {
	testleak.FDs(t)
	const all, last = 200, 50
	reached, known := make(chan struct{}), make(chan struct{})
	done := 0
	r := run(t, &Server{Timeout: time.Hour}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if done++; r.URL.Path == fmt.Sprint("/", last) {
			close(reached)
			<-known
		}
		io.WriteString(w, r.URL.Path)
	}))
	p := r.dial()
	var requests strings.Builder
	for i := range all {
		fmt.Fprintf(&requests, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}
	p.send(requests.String())
	<-reached
	r.drain()
	close(known)
	for i := range last + 1 {
		if s := p.answer(i == last); s != fmt.Sprint("200 /", i) {
			t.Fatal(s)
		}
	}
	p.eof()
	p.Close()
	r.drained(nil)
	if done != last+1 {
		t.Errorf("%d requests were done, %d answered", done, last+1)
	}
}

// A connection that was hijacked is left alone until the timeout, and a request
// that never ends ends there too.
func TestTimeout(t *testing.T) {
	testleak.FDs(t)
	r := run(t, &Server{Timeout: time.Hour, Grace: time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			<-r.Context().Done()
			return
		}
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		buf.Flush()
		io.Copy(c, buf)
	}))
	hijacked, stuck, idle := r.dial(), r.dial(), r.dial()
	hijacked.send("GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	if resp, err := http.ReadResponse(hijacked.from, nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	stuck.send(get)
	eventually(t, "three connections, two in use", func() bool { return r.count() == 3 && r.busy() == 2 })
	r.drain()
	idle.eof()
	hijacked.send("still there?")
	b := make([]byte, 12)
	if _, err := io.ReadFull(hijacked.from, b); string(b) != "still there?" {
		t.Error(string(b), err)
	}
	r.late.Reset(0)
	hijacked.eof()
	stuck.eof()
	r.drained(ErrCutOff)
}
