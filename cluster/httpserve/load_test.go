package httpserve

import (
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"onconn/internal/clients"
	"onconn/internal/testleak"
	"onconn/listen"
)

// drainVariable says how TestNothingIsLost drains. "keepalives" is net/http's
// SetKeepAlivesEnabled(false), "shutdown" its Shutdown: both fail.
const drainVariable = "HTTPSERVE_TEST_DRAIN"

// TestNothingIsLost drains one server after the other. The next one listens on
// the same socket already, as the next worker would.
func TestNothingIsLost(t *testing.T) {
	for _, c := range []clients.Config{
		{Clients: 32, KeepAlive: true, Think: 20 * time.Millisecond},
		{Clients: 32, KeepAlive: true},
		{Clients: 32},
	} {
		name := "short"
		if c.KeepAlive {
			name = "keep-alive, think time " + c.Think.String()
		}
		t.Run(name, func(t *testing.T) {
			testleak.FDs(t)
			socket, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			drain := serveAgain(t, socket)
			c.Address, c.Want = socket.Addr().String(), "ok"
			run := clients.Start(c)
			for range 6 {
				next := serveAgain(t, socket)
				before := run.Counts().All()
				eventually(t, "all clients busy", func() bool { return run.Counts().All() >= before+4*c.Clients })
				drain()
				drain = next
			}
			got := run.Stop()
			drain()
			t.Log(got)
			if got.Lost() > 0 || got.OK < 6*c.Clients {
				t.Error("not all were answered")
			}
		})
	}
}

// serveAgain serves a duplicate of the socket. The result drains that, to the end.
func serveAgain(t *testing.T, socket net.Listener) (drain func()) {
	ln, err := listen.Config{}.Copy(socket.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	how := os.Getenv(drainVariable)
	if how == "" {
		r := runOn(t, &Server{Timeout: time.Hour, Grace: patience}, ln, ok, nil)
		return func() {
			r.drain()
			r.drained(nil)
		}
	}
	srv := &http.Server{Handler: ok}
	ended := make(chan error)
	go func() { ended <- srv.Serve(ln) }()
	return func() {
		if how == "keepalives" {
			srv.SetKeepAlivesEnabled(false)
			ln.Close() // the connections end by themselves
		} else {
			srv.Shutdown(t.Context())
		}
		<-ended
	}
}
