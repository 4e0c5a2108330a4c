package connwrap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/sock"
)

// serve runs a server whose connections are ours, for a client whose are too.
func serve(t testing.TB, start func(*httptest.Server), cfg connwrap.Config, h http.HandlerFunc) (*httptest.Server, *http.Client) {
	t.Helper()
	l := listen(t, "tcp4", cfg)
	srv := httptest.NewUnstartedServer(h)
	srv.Listener.Close()
	srv.Listener = l
	srv.EnableHTTP2 = true
	start(srv)
	t.Cleanup(srv.Close)
	client := srv.Client()
	client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		fd, err := connect(l.addr, sock.Stream)
		if err != nil {
			return nil, err
		}
		return connwrap.New(fd, connwrap.Config{Network: "tcp"})
	}
	return srv, client
}

var schemes = map[string]func(*httptest.Server){
	"http":  (*httptest.Server).Start,
	"https": (*httptest.Server).StartTLS,
}

func TestHTTP(t *testing.T) {
	body := bytes.Repeat([]byte("01234567"), 1<<20)
	for scheme, start := range schemes {
		for name, cfg := range map[string]connwrap.Config{"plain": {}, "paused": {PauseOnConnect: true}, "late": {Late: true}} {
			t.Run(scheme+"/"+name, func(t *testing.T) {
				testleak.FDs(t)
				srv, client := serve(t, start, cfg, func(w http.ResponseWriter, r *http.Request) {
					p, err := io.ReadAll(r.Body)
					if err != nil || r.RemoteAddr == "" {
						t.Errorf("server: %v, from %q", err, r.RemoteAddr)
					}
					w.Write(p)
				})
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						r, err := client.Post(srv.URL, "", bytes.NewReader(body))
						if err != nil {
							t.Error(err)
							return
						}
						defer r.Body.Close()
						if p, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(p, body) {
							t.Errorf("client: %d of %d bytes, or other ones, %v", len(p), len(body), err)
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// Streams in both directions at once, many on one connection, as gRPC has them.
func TestHTTP2Duplex(t *testing.T) {
	testleak.FDs(t)
	srv, client := serve(t, (*httptest.Server).StartTLS, connwrap.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("it is %s", r.Proto)
		}
		flush := http.NewResponseController(w).Flush
		flush()
		var m [8]byte
		for {
			if _, err := io.ReadFull(r.Body, m[:]); err != nil {
				return
			}
			w.Write(m[:])
			flush()
		}
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, w := io.Pipe()
			req, _ := http.NewRequest("POST", srv.URL, r)
			resp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			for i := range uint64(300) {
				w.Write(binary.BigEndian.AppendUint64(nil, i))
				var m [8]byte
				if _, err := io.ReadFull(resp.Body, m[:]); err != nil || binary.BigEndian.Uint64(m[:]) != i {
					t.Errorf("message %d came back as %x, %v", i, m, err)
					break
				}
			}
			w.Close()
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the last: %d, %v", n, err)
			}
		})
	}
	wg.Wait()
}

func TestServeFileUsesSendfile(t *testing.T) {
	for name, handler := range map[string]func(http.ResponseWriter, *http.Request, string){
		"ServeFile": func(w http.ResponseWriter, r *http.Request, path string) { http.ServeFile(w, r, path) },
		"FileServer": func(w http.ResponseWriter, r *http.Request, path string) {
			r.URL.Path = path
			http.FileServer(http.Dir("/")).ServeHTTP(w, r)
		},
		"ServeContent": func(w http.ResponseWriter, r *http.Request, path string) {
			f, err := http.Dir("/").Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			http.ServeContent(w, r, path, time.Time{}, f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			calls := strace(t, "sendfile", func() {
				path := file(t).Name()
				srv, client := serve(t, (*httptest.Server).Start, connwrap.Config{}, func(w http.ResponseWriter, r *http.Request) {
					handler(w, r, path)
				})
				for _, part := range []struct {
					header string
					want   []byte
				}{{"", payload}, {"bytes=1000-1999", payload[1000:2000]}} {
					req, _ := http.NewRequest("GET", srv.URL, nil)
					if part.header != "" {
						req.Header.Set("Range", part.header)
					}
					r := must[*http.Response](t)(client.Do(req))
					p, err := io.ReadAll(r.Body)
					r.Body.Close()
					if err != nil || !bytes.Equal(p, part.want) {
						t.Errorf("client: %d of %d bytes, or other ones, %v", len(p), len(part.want), err)
					}
				}
			})
			// net/http sends the first 512 bytes of each body by itself.
			if got, want := calls["sendfile"].sum, copySize-512+1000-512; got < want {
				t.Errorf("sendfile sent %d bytes, want %d", got, want)
			}
		})
	}
}
