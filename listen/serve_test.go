package listen_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onconn/internal/testleak"
	"onconn/listen"
)

// TestHTTP serves a short answer, a file, and an echo, with and without TLS,
// from each kind of waiting.
func TestHTTP(t *testing.T) {
	testleak.FDs(t)
	file := filepath.Join(t.TempDir(), "file")
	content := strings.Repeat("0123456789abcdef", 1<<14)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})

	for c, name := range map[*listen.Config]string{
		{}:             "zero",
		{Shared: true}: "shared",
		{MaxConns: 4, PauseOnConnect: true, NoHalfOpen: true}: "limited, paused, closing",
	} {
		for _, start := range []func(*httptest.Server){(*httptest.Server).Start, (*httptest.Server).StartTLS} {
			l := mustListen(t, *c, "tcp", "127.0.0.1:0")
			s := httptest.NewUnstartedServer(mux)
			s.Listener.Close()
			s.Listener = l
			start(s)
			for range 2 {
				if got := fetch(t, s, "/short", ""); !strings.HasPrefix(got, "127.0.0.1:") {
					t.Errorf("%s: /short gives %q", name, got)
				}
				if got := fetch(t, s, "/file", ""); got != content {
					t.Errorf("%s: /file gives %d bytes", name, len(got))
				}
				if got := fetch(t, s, "/echo", content); got != content {
					t.Errorf("%s: /echo gives %d bytes", name, len(got))
				}
				s.Client().CloseIdleConnections()
			}
			s.Close()
			if n := l.Counters().Active.Load(); n != 0 {
				t.Errorf("%s: %d connections left", name, n)
			}
		}
	}
}

func fetch(t *testing.T, s *httptest.Server, path, body string) string {
	t.Helper()
	resp, err := s.Client().Post(s.URL+path, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
