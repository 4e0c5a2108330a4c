package connwrap_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"onconn/connwrap"
	"onconn/internal/testleak"
	"onconn/sock"
)

// waiting makes a listener with n connections in its queue.
func waiting(t testing.TB, n int) sock.FD {
	t.Helper()
	l := must[sock.FD](t)(sock.Socket(sock.Inet, sock.Stream, 0))
	t.Cleanup(func() { l.Close() })
	check(t, l.Bind(sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))))
	check(t, l.Listen(n))
	addr := must[sock.Addr](t)(l.Getsockname())
	for range n {
		c := must[sock.FD](t)(connect(addr, sock.Stream))
		t.Cleanup(func() { c.Close() })
		check(t, waitFor(l, 1)) // POLLIN: the handshake is over on both sides
	}
	return l
}

// TestCost counts the system calls that 100 connections make from accept to
// close, as the difference to a child that lets them wait.
func TestCost(t *testing.T) {
	const n = 100
	for _, tt := range []struct {
		name  string
		cfg   connwrap.Config
		limit int
	}{
		{"plain", connwrap.Config{Network: "tcp"}, 5},
		{"paused", connwrap.Config{Network: "tcp", PauseOnConnect: true}, 3},
		{"late", connwrap.Config{Network: "tcp", Late: true}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			difference(t, n, tt.limit, func(take int) {
				testleak.FDs(t) // also starts the runtime's poller
				l := waiting(t, n)
				for range take {
					fd, peer, err := l.Accept()
					check(t, err)
					cfg := tt.cfg
					cfg.Remote = peer
					c := must[*connwrap.Conn](t)(connwrap.New(fd, cfg))
					check(t, c.Close())
				}
			})
		})
	}
	t.Run("net", func(t *testing.T) {
		difference(t, n, 10, func(take int) {
			l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
			defer l.Close()
			for range n {
				c := must[net.Conn](t)(net.Dial("tcp", l.Addr().String()))
				defer c.Close()
			}
			for range take {
				c := must[net.Conn](t)(l.Accept())
				check(t, c.Close())
			}
		})
	})
}

func difference(t *testing.T, n, limit int, accept func(take int)) {
	var counts [2]map[string]calls
	for i, take := range []int{0, n} {
		t.Run(strconv.Itoa(take), func(t *testing.T) {
			counts[i] = strace(t, "%network,fcntl,epoll_ctl,close,dup,ioctl,read,write", func() { accept(take) })
		})
	}
	if counts[0] == nil || counts[1] == nil {
		t.SkipNow() // with the reason that strace gave, or in the child
	}
	total, detail := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(counts[1])) {
		if more := counts[1][name].n - counts[0][name].n; more != 0 {
			total += more
			detail = append(detail, fmt.Sprintf("%s %.2f", name, float64(more)/float64(n)))
		}
	}
	t.Logf("%.2f system calls a connection: %s", float64(total)/float64(n), strings.Join(detail, ", "))
	if total < n || total > limit*n {
		t.Errorf("%d system calls for %d connections, want at most %d each", total, n, limit)
	}
}
