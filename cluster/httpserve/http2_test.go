package httpserve

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/listen"
)

// certificate is one for example.com, and those who trust it.
func certificate(t *testing.T) (*tls.Config, *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

// runTLS serves HTTP/1 and HTTP/2 over TLS.
func runTLS(t *testing.T, s *Server, handler http.Handler) (*running, *tls.Config) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, client := certificate(t)
	s.HTTP = &http.Server{TLSConfig: server}
	return runOn(t, s, ln, handler, func(ln net.Listener) error { return s.ServeTLS(ln, "", "") }), client
}

// Frames of HTTP/2 (RFC 9113, 6).
const (
	settings = 4
	goAway   = 7
)

// goneAway speaks HTTP/2 on c until GOAWAY comes, and then the end.
func goneAway(t *testing.T, c net.Conn, settled func()) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.Write([]byte{0, 0, 0, settings, 0, 0, 0, 0, 0})
	away := false
	for {
		var head [9]byte
		_, err := io.ReadFull(c, head[:])
		if err != nil {
			if !away || err != io.EOF {
				t.Errorf("GOAWAY %v, then %v", away, err)
			}
			return
		}
		body := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatal(err)
		}
		switch ack := head[4] & 1; {
		case head[3] == settings && ack == 0:
			c.Write([]byte{0, 0, 0, settings, 1, 0, 0, 0, 0})
			settled()
		case head[3] == goAway:
			away = true
			if code := binary.BigEndian.Uint32(body[4:]); code != 0 {
				t.Errorf("GOAWAY with error %d", code)
			}
		}
	}
}

// An idle connection of HTTP/2 gets GOAWAY at once.
func TestGoAway(t *testing.T) {
	testleak.FDs(t)
	t.Run("TLS", func(t *testing.T) {
		r, trust := runTLS(t, &Server{Timeout: time.Hour}, ok)
		trust.NextProtos = []string{"h2"}
		c, err := tls.Dial("tcp", r.addr, trust)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		goneAway(t, c, r.drain)
		c.Close()
		r.drained(nil)
	})
	t.Run("plain", func(t *testing.T) {
		p := new(http.Protocols)
		p.SetHTTP1(true)
		p.SetUnencryptedHTTP2(true)
		r := run(t, &Server{Timeout: time.Hour, HTTP: &http.Server{Protocols: p}}, ok)
		c := r.dial()
		goneAway(t, c, r.drain)
		c.Close()
		r.drained(nil)
	})
}

// So does one that comes during the drain.
func TestGoAwayLate(t *testing.T) {
	testleak.FDs(t)
	r, trust := runTLS(t, &Server{Timeout: time.Hour, Grace: time.Hour}, ok)
	trust.NextProtos = []string{"h2"}
	p := r.dial()
	eventually(t, "a connection", func() bool { return r.count() == 1 })
	r.drain()
	c := tls.Client(p.Conn, trust)
	defer c.Close()
	goneAway(t, c, func() {})
	c.Close()
	r.drained(nil)
}

// A request of HTTP/2 that is being answered is, and the connection ends then.
func TestHTTP2(t *testing.T) {
	testleak.FDs(t)
	enter, leave := make(chan string), make(chan struct{})
	r, trust := runTLS(t, &Server{Timeout: time.Hour}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enter <- r.Proto
		<-leave
		io.WriteString(w, "ok")
	}))
	transport := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	answers := make(chan string, 4)
	for range cap(answers) {
		go func() {
			resp, err := (&http.Client{Transport: transport}).Get("https://" + r.addr)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				b = []byte(err.Error())
			}
			answers <- string(b)
		}()
	}
	for range cap(answers) {
		if proto := <-enter; proto != "HTTP/2.0" {
			t.Error(proto)
		}
	}
	r.drain()
	close(leave)
	for range cap(answers) {
		if s := <-answers; s != "ok" {
			t.Error(s)
		}
	}
	r.drained(nil)
}

// TestNothingIsLostTLS is TestNothingIsLost with TLS and the client of net/http.
// It doesn't repeat a POST unless GOAWAY says that it was not done, and each is
// done once.
func TestNothingIsLostTLS(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			testleak.FDs(t)
			socket, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			own, trust := certificate(t)
			var asked, done atomic.Int64
			serve := func() *running {
				ln, err := listen.Config{}.Copy(socket.(*net.TCPListener))
				if err != nil {
					t.Fatal(err)
				}
				s := &Server{Timeout: time.Hour, Grace: patience, HTTP: &http.Server{TLSConfig: own.Clone()}}
				return runOn(t, s, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					done.Add(1)
					io.Copy(w, r.Body)
				}), func(ln net.Listener) error { return s.ServeTLS(ln, "", "") })
			}
			transport := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: proto == "HTTP/2.0", MaxIdleConnsPerHost: 8}
			client := &http.Client{Transport: transport, Timeout: patience}
			stop := make(chan struct{})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(5 * time.Millisecond):
						}
						if err := post(client, "https://"+socket.Addr().String(), proto); err != nil {
							t.Error(err)
						}
						asked.Add(1)
					}
				})
			}
			server := serve()
			for range 4 {
				next := serve()
				before := asked.Load()
				eventually(t, "clients busy", func() bool { return asked.Load() >= before+32 })
				server.drain()
				server.drained(nil)
				server = next
			}
			close(stop)
			all.Wait()
			transport.CloseIdleConnections()
			server.drain()
			server.drained(nil)
			if t.Log(asked.Load(), "requests"); asked.Load() != done.Load() {
				t.Errorf("%d were done", done.Load())
			}
		})
	}
}

func post(client *http.Client, url, proto string) error {
	body := []byte("body")
	resp, err := client.Post(url, "text/plain", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && (!bytes.Equal(got, body) || resp.Proto != proto) {
		return fmt.Errorf("%s: %q", resp.Proto, got)
	}
	return err
}
