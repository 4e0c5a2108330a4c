package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

// A client that says what it likes.
type raw struct {
	net.Conn
	t testing.TB
}

func connect(t testing.TB, path string) raw {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return raw{c, t}
}

func (r raw) say(text string) raw {
	io.WriteString(r, text) // the server may have closed it
	return r
}

// rest is what the server says until it closes the connection.
func (r raw) rest() string {
	r.t.Helper()
	b, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // what it has not read
		r.t.Errorf("reading the answer: %v", err)
	}
	return string(b)
}

func leaveDead(t *testing.T, path string) string {
	t.Helper()
	fd, err := sock.Socket(sock.Unix, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if err := fd.Bind(sock.UnixAddr(path)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGarbage(t *testing.T) {
	testleak.FDs(t)
	s := open(t, &fake{})
	for text, says := range map[string]string{
		"\n":                                   "no JSON object",
		"GET / HTTP/1.1\r\n":                   "no JSON object",
		"null\n":                               "unknown op",
		"[]\n":                                 "no JSON object",
		`{"op":7}` + "\n":                      "no JSON object",
		`{"op":"STOP"}` + "\n":                 "unknown op",
		`{"op":"status","x":1}` + "\n":         "unknown field",
		`{"op":"status"} {}` + "\n":            "one request",
		`{"op":"reload","workers":1}` + "\n":   "takes no number",
		`{"op":"scale"}` + "\n":                "1 to 4096",
		`{"op":"scale","workers":-1}` + "\n":   "1 to 4096",
		`{"op":"scale","workers":1e99}` + "\n": "no JSON object",
		strings.Repeat("x", 1<<20):             "longer than 4096",
		`{"op":"` + strings.Repeat("x", 4096):  "longer than 4096",
		strings.Repeat("[", 4000) + "\n":       "no JSON object",
		"\x00\xff\n":                           "no JSON object",
	} {
		got := connect(t, s.Path()).say(text).rest()
		var a answer
		if err := json.Unmarshal([]byte(got), &a); err != nil || !strings.Contains(a.Error, says) {
			t.Errorf("%.30q is answered with %q", text, got)
		}
	}
	c := connect(t, s.Path()).say(`{"op":"status"}`)
	c.Conn.(*net.UnixConn).CloseWrite()
	if got := c.rest(); !strings.Contains(got, "no newline") {
		t.Errorf("without a newline: %q", got)
	}
	long := `{"op":"status"` + strings.Repeat(" ", maxRequest-len(`{"op":"status"}`)-1) + "}\n"
	if got := connect(t, s.Path()).say(long).rest(); !strings.Contains(got, `"done":true`) {
		t.Errorf("the longest request is answered with %q", got)
	}
}

// Slow clients have their time, and hinder nobody then; a long request outlasts
// them.
func TestSlow(t *testing.T) {
	testleak.FDs(t)
	end := make(chan struct{})
	s := open(t, &fake{reload: func(context.Context) error { <-end; return nil }})
	c := dial(t, s.Path())
	began := make(chan struct{}, 10)
	c.Progress = func(string) { began <- struct{}{} }
	done := make(chan error, 1)
	go func() { done <- c.Reload(t.Context()) }()
	<-began
	var slow []raw
	for range maxClients - 1 {
		slow = append(slow, connect(t, s.Path()).say(`{"op`))
	}
	if got := connect(t, s.Path()).rest(); !strings.Contains(got, "16 clients") {
		t.Errorf("the 17th client is answered with %q", got)
	}
	if got := slow[0].say(`":"status"}` + "\n").rest(); !strings.Contains(got, `"done":true`) {
		t.Errorf("a slow client is answered with %q", got)
	}
	for _, c := range slow[1:] {
		if got := c.rest(); !strings.Contains(got, "no request came within 5s") {
			t.Errorf("a slow client is answered with %q", got)
		}
	}
	until(t, func() bool { _, err := c.Status(t.Context()); return err == nil })
	close(end)
	if err := <-done; err != nil {
		t.Errorf("the long request: %v", err)
	}
}

// A client that asks and doesn't read, or goes, leaves nothing behind.
func TestGone(t *testing.T) {
	testleak.FDs(t)
	s := open(t, &fake{reload: func(context.Context) error { return nil }})
	for range 5 * maxClients {
		c := connect(t, s.Path()).say(`{"op":"reload"}` + "\n")
		c.Close()
	}
	until(t, func() bool {
		c, err := Dial(s.Path())
		if err == nil {
			_, err = c.Status(t.Context())
		}
		return err == nil
	})
}

// Another user is told so, even where the file would let it in.
func TestStranger(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	s, err := Listen(path, &fake{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		t.Helper()
		cmd := process("connect", path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Run()
		return out.String()
	}
	if got := ask(); !strings.Contains(got, "permission denied") {
		t.Errorf("the file lets a stranger in: %q", got)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := ask(); !strings.Contains(got, "user 65534 (process ") || strings.Contains(got, "done") {
		t.Errorf("a stranger is answered with %q", got)
	}
}

// Only a dead socket is replaced.
func TestFile(t *testing.T) {
	testleak.FDs(t)
	dir := t.TempDir()
	path := leaveDead(t, filepath.Join(dir, "dead"))
	s, err := Listen(path, &fake{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var inUse *listen.InUseError
	if _, err := Listen(path, &fake{}, slog.New(slog.DiscardHandler)); !errors.As(err, &inUse) {
		t.Errorf("in use: %v", err)
	}
	if _, err := dial(t, path).Status(t.Context()); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"", "@abstract", dir + "/no/such"} {
		if _, err := Listen(path, &fake{}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q is no mistake", path)
		}
	}
}

// Whatever is sent, it is refused or understood as what it says again.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{"op":"status"}`, `{"op":"scale","workers":4}`, `{"op":"upgrade"} x`, `null`, `{"op":"scale","workers":1e2}`, `{"OP":"reload"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parse(line)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if r2, err := parse(again); err != nil || r2 != r {
			t.Errorf("%q is %+v, then %+v, %v", line, r, r2, err)
		}
		if r.Op == opScale && (r.Workers < 1 || r.Workers > MaxWorkers) {
			t.Errorf("%q scales to %d", line, r.Workers)
		}
	})
}
