package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/internal/testleak"
)

// fullPipe is the writing end of a pipe that nobody reads and that is full.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(p[0]), "read"), os.NewFile(uintptr(p[1]), "write")
	t.Cleanup(func() { r.Close(); w.Close() })
	size, err := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	return w
}

// Ctrl-C works, once and twice, while nobody reads what onconn prints.
func TestBlockedOutput(t *testing.T) {
	testleak.FDs(t)
	for _, c := range []struct {
		format string
		twice  bool
		code   int
	}{{"--json=false", false, 0}, {"--json", false, 0}, {"--json=false", true, 1}, {"--json", true, 1}} {
		t.Run(fmt.Sprint(c.format, " ", c.twice), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			pipe := fullPipe(t)
			cmd := command("-n", "1", "-l", path, c.format)
			cmd.Stdout = pipe
			if !c.twice { // the second time there is something to say at the end
				cmd.Stderr = pipe
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan struct{})
			go func() {
				cmd.Wait()
				close(exited)
			}()
			defer func() {
				cmd.Process.Kill()
				<-exited
			}()
			conn := half(t, path)
			defer conn.Close()
			cmd.Process.Signal(syscall.SIGINT)
			until(t, func() bool { return !exists(path) })
			if c.twice {
				time.Sleep(sameSignal + 100*time.Millisecond) // what comes sooner counts as the same signal
				cmd.Process.Signal(syscall.SIGINT)
			} else {
				io.WriteString(conn, "Host: x\r\n\r\n")
			}
			select {
			case <-exited:
			case <-time.After(tooLong):
				t.Fatal("it waits for its standard output")
			}
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// half is a connection on which half a request was sent, to a worker that runs.
func half(t *testing.T, path string) net.Conn {
	t.Helper()
	dial := func() (net.Conn, error) { return net.Dial("unix", path) }
	until(t, func() bool { // until it listens
		c, err := dial()
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	get(t, oneShot(dial), "http://localhost/")
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	return c
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never happens")
		}
	}
}

// What waits when a run ends is still printed.
func TestOutputEnds(t *testing.T) {
	r, w := io.Pipe()
	o := newOutput(w)
	for range 3 {
		fmt.Fprintln(o, "line")
	}
	got := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		got <- string(b)
	}()
	o.end()
	w.Close()
	if all := <-got; all != "line\nline\nline\n" {
		t.Errorf("printed is %q", all)
	}
}

// The count of connections never falls, not even between the end of a worker and
// the news of it.
func TestConnectionsStayCounted(t *testing.T) {
	testleak.FDs(t)
	r := newReport(&runFlags{})
	defer r.out.end()
	counted := make(chan int64, 1)
	listening := make(chan net.Addr, 10)
	p, err := cluster.New(cluster.Config{
		Workers: 1, Exec: os.Args[0], Args: []string{"-l", "127.0.0.1:0"}, Env: []string{envMain + "=1"},
		OnEvent: func(e cluster.Event) {
			switch e.Kind {
			case cluster.Listening:
				listening <- e.Addr
			case cluster.Exited:
				select {
				case counted <- r.conns():
				default:
				}
			}
			r.event(e)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	client := oneShot(nil)
	addr := <-listening
	for range 5 {
		get(t, client, "http://"+addr.String()+"/")
	}
	p.Workers()[0].Kill(syscall.SIGKILL)
	if n := <-counted; n != 5 {
		t.Errorf("%d connections, not 5", n)
	}
	p.Shutdown(context.Background())
	if n := r.conns(); n != 5 {
		t.Errorf("%d connections at the end, not 5", n)
	}
}
