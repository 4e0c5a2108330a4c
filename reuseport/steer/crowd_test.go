package steer

import (
	"net"
	"testing"

	"onconn/reuseport"
)

// comeFrom is come for clients of the address 127.0.0.host.
func (c *crowd) comeFrom(g *reuseport.Group, host byte, n int) map[reuseport.ID]int {
	c.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	got := map[reuseport.ID]int{}
	for range n {
		conn, err := d.Dial("tcp", g.Addr().String())
		if err != nil {
			c.t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		got[c.accept(g)]++
	}
	return got
}

// burst connects n clients that nobody accepts.
func burst(t testing.TB, g *reuseport.Group, n int) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
}
