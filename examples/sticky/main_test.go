package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSticky(t *testing.T) {
	path := exampletest.Build(t)
	t.Run("keeps", func(t *testing.T) { keeps(t, path) })
	t.Run("demo", func(t *testing.T) { demo(t, path) })
	t.Run("refuses", func(t *testing.T) { refuses(t, path) })
}

// clientCount is no multiple of the workers, or round robin would do as well.
const clientCount = 25

// keeps: each client has one worker, also when others die; and the successor of
// its worker is its worker again.
func keeps(t *testing.T, path string) {
	p := exampletest.Start(t, path, "-listen", "127.0.0.1:0", "-workers", "3")
	url := p.Line(`^3 workers listen on .* curl .* (http://\S+)$`)[1]
	home := map[string]answer{}
	workers := map[int]int{}
	for range 3 {
		for i := range clientCount {
			from := fmt.Sprintf("127.0.0.%d", 1+i)
			a := ask(t, url, from)
			if before, ok := home[from]; ok && a != before {
				t.Errorf("%s met %v and %v", from, before, a)
			}
			home[from] = a
			workers[a.id]++
		}
	}
	if len(workers) != 3 {
		t.Errorf("the workers' shares are %v", workers)
	}

	dead := home["127.0.0.1"]
	if err := syscall.Kill(dead.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var next answer
	exampletest.Eventually(t, "a successor listens", func() bool {
		next = ask(t, url, "127.0.0.1")
		return next.id > 3
	})
	for from, before := range home {
		want := before
		if before == dead {
			want = next
		}
		if a := ask(t, url, from); a != want {
			t.Errorf("after worker %d's death %s met %v, want %v", dead.id, from, a, want)
		}
	}
	p.Interrupt()
	p.End()
}

// An answer tells which worker gave it.
type answer struct{ id, pid int }

// ask asks from an address, until somebody answers: a worker may die over it.
func ask(t *testing.T, url, from string) answer {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
	}}
	var a answer
	exampletest.Eventually(t, "somebody answers "+from, func() bool {
		r, err := client.Get(url)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		var peer string
		if _, err := fmt.Sscanf(string(body), "worker %d (pid %d) answers %s", &a.id, &a.pid, &peer); err != nil || !strings.HasPrefix(peer, from+":") {
			t.Fatalf("the answer to %s is %q", from, body)
		}
		return true
	})
	return a
}

// demo: each of its clients is in the list of one worker, and in no other.
func demo(t *testing.T, path string) {
	p := exampletest.Start(t, path, "-listen", "127.0.0.1:0", "-demo")
	seen := map[string]bool{}
	for len(seen) < 12 {
		m := p.Line(`^worker (\d+) has \[(.*)\]$`)
		for _, client := range strings.Fields(m[2]) {
			if seen[client] {
				t.Errorf("%s has two workers", client)
			}
			seen[client] = true
			if n := strings.Count(p.Said(), " answers "+client+":"); n != 3 {
				t.Errorf("%s was answered %d times", client, n)
			}
		}
		if id, _ := strconv.Atoi(m[1]); id < 1 || id > 4 {
			t.Errorf("%s", m[0])
		}
	}
	p.Interrupt()
	p.End()
	if s := p.Stderr(); s != "" {
		t.Errorf("standard error: %s", s)
	}
}

func refuses(t *testing.T, path string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exampletest.Refused(t, path, 2, "can't make sense of", "8000")
	exampletest.Refused(t, path, 2, "can't make sense of", "-workers", "0")
	exampletest.Refused(t, path, 1, "missing port", "-listen", "8000")
	exampletest.Refused(t, path, 1, "address already in use", "-listen", taken.Addr().String())
}
