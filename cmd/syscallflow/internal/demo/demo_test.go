package demo

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGet(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("hello"))
	}))
	defer s.Close()
	for path, want := range map[string]string{"/a?b=c": "200 OK (5 B)", "/x": "404 Not Found (19 B)"} {
		u, err := Parse(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		r := Get(t.Context(), u)
		if r.Err != nil || r.Reply != want || r.Text != "GET "+path || r.To.String() != u.Host || !r.From.IsValid() || r.End.Before(r.Begin) {
			t.Errorf("%+v", r)
		}
	}
}

// TestGetFails: a server that says nothing, or isn't there.
func TestGetFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := Parse("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := l.Accept()
		if err == nil {
			cancel()
			defer c.Close()
			c.Read(make([]byte, 4096))
		}
		l.Close()
	}()
	if r := Get(ctx, u); r.Err == nil {
		t.Errorf("%+v", r)
	}
	l.Close()
	if r := Get(t.Context(), u); r.Err == nil || !strings.Contains(r.Err.Error(), "refused") {
		t.Errorf("%+v", r)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:8000": "http://127.0.0.1:8000/", "http://a/b": "http://a:80/b", "http://[::1]/": "http://[::1]:80/",
		"https://a/": "", "127.0.0.1:80": "", "http://": "", "x": "",
	} {
		u, err := Parse(text)
		if (err == nil) != (want != "") || err == nil && u.String() != want {
			t.Errorf("%q: %v, %v; want %q", text, u, err, want)
		}
	}
}
