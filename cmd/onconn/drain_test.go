package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestKeepAliveIsDrained(t *testing.T) {
	t.Parallel()
	s := serve(t, "-n", "1", "-l", "127.0.0.1:0", "--drain-timeout", "10m") // held so long, it is killed
	addr := s.line(`listening on (\S+)`)[1]
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	for range 3 {
		get(t, client, "http://"+addr+"/")
	}
	if code := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A second Ctrl-C ends the drain.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := serve(t, "-n", "1", "-l", "127.0.0.1:0")
	addr := s.line(`listening on (\S+)`)[1]
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n") // a request that never ends
	s.line(`numReqs = 0  #1 1 \(1 open\)`)
	s.cmd.Process.Signal(syscall.SIGINT)
	s.line("draining")
	time.Sleep(300 * time.Millisecond) // what comes sooner counts as the same signal
	if code := s.stop(syscall.SIGINT); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

// A connection whose first request is still on its way when the drain begins is
// answered.
func TestLateRequestIsAnswered(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"rr", "shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			s := serve(t, "-n", "1", "-m", mode, "-l", "127.0.0.1:0")
			addr := s.line(`listening on (\S+)`)[1]
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s.line(`^numReqs = 0  #1 1 \(1 open\)`)
			s.cmd.Process.Signal(syscall.SIGINT)
			for open := true; open; { // until the worker has closed its listener
				other, err := net.Dial("tcp", addr)
				if open = err == nil; open {
					other.Close()
				}
			}
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: late\r\n\r\n")
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.StatusCode != 200 {
				t.Errorf("the answer is %s", r.Status)
			}
			if code := s.stop(0); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// A client that sends nothing, or not all of it, doesn't hold the drain until
// it is cut off.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	s := serve(t, "-n", "1", "-l", "127.0.0.1:0")
	addr := s.line(`listening on (\S+)`)[1]
	for _, sent := range []string{"", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, sent)
	}
	s.line(`#1 3 \(3 open\)`)
	if code := s.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// pids are the numbers of the workers, by --json.
func (s *served) pids() (pids []int) {
	s.t.Helper()
	s.line(`"event":"second"`)
	var line countLine
	if err := json.Unmarshal([]byte(s.lines[len(s.lines)-1]), &line); err != nil {
		s.t.Fatal(err)
	}
	for _, w := range line.Workers {
		pids = append(pids, w.PID)
	}
	return pids
}

// late sends half a request, has stop begin the end, and returns the answer to
// the whole, which it sends when nobody listens any more.
func (s *served) late(addr string, stop func()) *http.Response {
	s.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	s.line(`"active":1`)
	stop()
	for open := true; open; {
		other, err := net.Dial("tcp", addr)
		if open = err == nil; open {
			other.Close()
		}
	}
	io.WriteString(c, "Host: late\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// systemd sends SIGTERM to all processes of a service at once.
func TestAllAreSignalled(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"primary", "workers"} {
		t.Run(first, func(t *testing.T) {
			s := serve(t, "-n", "2", "-l", "127.0.0.1:0", "--json")
			addr := s.line(`"event":"listening".*"address":"([^"]+)"`)[1]
			s.line(`"event":"listening"`)
			pids := s.pids()
			if first == "primary" {
				pids = append([]int{s.cmd.Process.Pid}, pids...)
			} else {
				pids = append(pids, s.cmd.Process.Pid)
			}
			r := s.late(addr, func() {
				for _, pid := range pids {
					syscall.Kill(pid, syscall.SIGTERM)
				}
			})
			if r.StatusCode != 200 {
				t.Errorf("the answer is %s", r.Status)
			}
			if code := s.stop(0); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if all := strings.Join(s.lines, "\n"); strings.Count(all, `"status":"exit status 0"`) != 2 {
				t.Error("not both workers ended by themselves")
			}
		})
	}
}

// A worker of the demo that is told to end finishes what it has.
func TestWorkerIsSignalled(t *testing.T) {
	t.Parallel()
	s := serve(t, "-n", "1", "-l", "127.0.0.1:0", "--json")
	addr := s.line(`"event":"listening".*"address":"([^"]+)"`)[1]
	pid := s.pids()[0]
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	s.line(`"active":1`)
	syscall.Kill(pid, syscall.SIGTERM)
	s.line(`"state":"draining"`)
	io.WriteString(c, "Host: late\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Error(err)
	}
	s.line(`"event":"exited".*"status":"exit status 0"`)
	if code := s.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A worker of the demo ends by itself before the drain timeout, or by SIGTERM
// then, and needs no SIGKILL.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	s := serve(t, "-n", "1", "-l", "127.0.0.1:0", "--json", "--drain-timeout", "500ms")
	addr := s.line(`"event":"listening".*"address":"([^"]+)"`)[1]
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	s.line(`"active":1`)
	s.cmd.Process.Signal(syscall.SIGINT)
	s.line(`"status":"(exit status 1|signal: terminated)"`)
	if code := s.stop(0); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
