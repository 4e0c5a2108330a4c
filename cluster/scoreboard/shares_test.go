package scoreboard

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"onconn/cluster"
)

// who asks which worker the connection is with.
func who(t *testing.T, c net.Conn) string {
	t.Helper()
	fmt.Fprint(c, "GET /id HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// spread is the difference between the largest and the smallest share.
func spread(shares map[string]int, workers int) int {
	least, most := 1<<30, 0
	for _, n := range shares {
		least, most = min(least, n), max(most, n)
	}
	if len(shares) < workers {
		least = 0
	}
	return most - least
}

// shares asks for them until the primary's turn makes them equal. A worker that
// gets no CPU for 25 ms is passed over, as it should; so on a busy machine they
// may not be, now and then.
func shares(t *testing.T, r *running, what string, round func() map[string]int) {
	t.Helper()
	for try := 0; ; try++ {
		got := round()
		t.Log(what, got)
		if spread(got, 4) <= 1 {
			return
		}
		if try == 10 {
			t.Fatal("the shares were never equal")
		}
	}
}

// S11: 1,000 connections one at a time. S11b: 200 that stay, at once.
func TestS11Shares(t *testing.T) {
	r := start(t, "http", cluster.Config{Workers: 4})
	shares(t, r, "one at a time:", func() map[string]int {
		got := map[string]int{}
		for range 1000 {
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			got[who(t, c)]++
			c.Close()
		}
		return got
	})
	shares(t, r, "at once:", func() map[string]int {
		got := map[string]int{}
		var conns []net.Conn
		for range 200 {
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
		}
		for _, c := range conns {
			got[who(t, c)]++
		}
		return got
	})
}
