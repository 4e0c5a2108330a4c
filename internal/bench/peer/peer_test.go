package peer_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/internal/bench/peer"
	"onconn/internal/bench/serve"
	"onconn/internal/testleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serve.Main(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// patience is far longer than anything here takes.
const patience = 30 * time.Second

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPeers has each server that this machine can have do its work, and end.
func TestPeers(t *testing.T) {
	dir := t.TempDir()
	names := map[string]bool{}
	for _, p := range peer.All() {
		if names[p.Name] {
			t.Errorf("two are named %s", p.Name)
		}
		names[p.Name] = true
		t.Run(p.Name, func(t *testing.T) {
			testleak.FDs(t)
			testleak.Zombies(t)
			command, err := p.Get(t.Context(), dir)
			if errors.Is(err, peer.ErrMissing) {
				t.Skip(err)
			}
			check(t, err)
			addr := start(t, command)
			switch p.Work {
			case peer.Close:
				if rest := ask(t, addr, ""); rest != "" {
					t.Errorf("it said %q", rest)
				}
			case peer.Hold:
				held(t, addr)
			case peer.HTTP:
				answered(t, addr, true)
			case peer.KeepAlive:
				answered(t, addr, true)
				answered(t, addr, false)
			default:
				t.Errorf("unknown work %q", p.Work)
			}
		})
	}
}

// TestMissing: without tools a peer says what to install, or where to run.
func TestMissing(t *testing.T) {
	for _, lack := range []func(){
		func() { t.Setenv("PATH", "") },
		func() { t.Chdir(t.TempDir()) },
	} {
		lack()
		ours, missing := 0, 0
		for _, p := range peer.All() {
			_, err := p.Get(t.Context(), t.TempDir())
			switch {
			case err == nil:
				ours++
			case errors.Is(err, peer.ErrMissing) && !strings.Contains(err.Error(), "\n"):
				missing++
			default:
				t.Errorf("%s: %v", p.Name, err)
			}
		}
		if ours == 0 || missing == 0 {
			t.Errorf("%d servers can be had, %d are missing", ours, missing)
		}
	}
}

// TestWarnings: the C servers compile without any.
func TestWarnings(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs cc: apt-get install gcc libc6-dev")
	}
	files, err := filepath.Glob("../../../testdata/peers/*.c")
	if len(files) == 0 {
		t.Fatal("no C servers", err)
	}
	for _, file := range files {
		out, err := exec.Command(cc, "-O2", "-Wall", "-Wextra", "-Werror", "-c", "-o", os.DevNull, file).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// freeAddress is an address that nobody has now.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// start runs the server in a process group of its own with two workers. At the end of
// the test it gets SIGTERM, and then nobody may be left of it.
func start(t *testing.T, command peer.Command) (addr string) {
	t.Helper()
	addr = freeAddress(t)
	argv := command(addr, 2)
	r, w, err := os.Pipe() // closed when all that have it as standard error are gone
	check(t, err)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = w
	check(t, cmd.Start())
	w.Close()
	said := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		said <- string(all)
	}()
	t.Cleanup(func() {
		defer r.Close()
		cmd.Process.Signal(syscall.SIGTERM)
		ended := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer ended.Stop()
		err := cmd.Wait()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			if s := exit.Sys().(syscall.WaitStatus); s.Signaled() && s.Signal() == syscall.SIGTERM {
				err = nil // it has no handler
			}
		}
		if err != nil {
			t.Error(err)
		}
		select {
		case all := <-said:
			if all != "" {
				t.Errorf("it said: %s", all)
			}
		case <-time.After(patience):
			t.Error("some of its processes are left")
			r.Close() // ends the reading
			<-said
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	check(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// ask sends a request and reads until the server closes.
func ask(t *testing.T, addr, request string) string {
	t.Helper()
	c := dial(t, addr)
	io.WriteString(c, request)
	rest, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	return string(rest)
}

// held: a connection is kept, and closed when its client says no more.
func held(t *testing.T, addr string) {
	c := dial(t, addr)
	io.WriteString(c, "x")
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was not kept: %d, %v", n, err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	c.(*net.TCPConn).CloseWrite()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("it was not closed: %d, %v", n, err)
	}
}

var body = strings.Repeat("onconnecti", 10)

// answered sends a few requests on one connection, or each on its own.
func answered(t *testing.T, addr string, closing bool) {
	for _, late := range []bool{false, true} { // whether it is accepted before its request
		var c net.Conn
		var r *bufio.Reader
		for i := range 4 {
			request := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
			if closing {
				request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
			}
			if closing || i == 0 {
				c = dial(t, addr)
				r = bufio.NewReader(c)
				if late {
					time.Sleep(10 * time.Millisecond) // either way is right
				}
			}
			io.WriteString(c, request)
			resp, err := http.ReadResponse(r, nil)
			check(t, err)
			got, err := io.ReadAll(resp.Body)
			check(t, err)
			if resp.StatusCode != 200 || string(got) != body || resp.ContentLength != 100 {
				t.Errorf("%v, %d bytes: %q", resp.Status, resp.ContentLength, got)
			}
			if resp.Close != closing {
				t.Errorf("closing %v, but it said Connection: %q", closing, resp.Header["Connection"])
			}
			if closing {
				if more, err := r.Peek(1); err != io.EOF {
					t.Errorf("after the answer: %q, %v", more, err)
				}
			}
		}
	}
}
