package connwrap_test

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/connwrap"
	"onconn/sock"
)

// BenchmarkAcceptClose takes connections that wait already from accept to close.
func BenchmarkAcceptClose(b *testing.B) {
	for name, cfg := range map[string]connwrap.Config{
		"connwrap": {Network: "tcp"},
		"paused":   {Network: "tcp", PauseOnConnect: true},
	} {
		b.Run(name, func(b *testing.B) {
			l := waiting(b, 0)
			check(b, l.Listen(511))
			accepts(b, must[sock.Addr](b)(l.Getsockname()), func() (net.Conn, error) {
				fd, peer, err := l.Accept()
				if err != nil {
					return nil, err
				}
				cfg.Remote = peer
				return connwrap.New(fd, cfg)
			})
		})
	}
	b.Run("net", func(b *testing.B) {
		l := must[net.Listener](b)(net.Listen("tcp4", "127.0.0.1:0"))
		defer l.Close()
		accepts(b, sock.FromNetAddr(l.Addr()), l.Accept)
	})
}

func accepts(b *testing.B, addr sock.Addr, accept func() (net.Conn, error)) {
	const batch = 400 // below the backlog
	clients := make([]sock.FD, 0, batch)
	var cpu time.Duration
	b.ReportAllocs()
	for left := b.N; left > 0; left -= len(clients) {
		b.StopTimer()
		for _, c := range clients {
			c.Close()
		}
		clients = clients[:0]
		for range min(left, batch) {
			clients = append(clients, must[sock.FD](b)(connect(addr, sock.Stream)))
		}
		cpu -= cpuTime(b)
		b.StartTimer()
		for range clients {
			c, err := accept()
			if err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
		b.StopTimer()
		cpu += cpuTime(b)
	}
	for _, c := range clients {
		c.Close()
	}
	reportCPU(b, cpu)
}

func reportCPU(b *testing.B, cpu time.Duration) {
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpuTime is what the process has used: on a busy machine it says more than time.
func cpuTime(t testing.TB) time.Duration {
	var r unix.Rusage
	check(t, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkReadWrite passes 512 bytes from one end of a TCP connection to the
// other: one Write and one Read, which needn't wait.
func BenchmarkReadWrite(b *testing.B) {
	pairs := map[string]func() (net.Conn, net.Conn){
		"connwrap": func() (net.Conn, net.Conn) { return pair(b, "tcp4", connwrap.Config{}) },
		"net": func() (net.Conn, net.Conn) {
			l := must[net.Listener](b)(net.Listen("tcp4", "127.0.0.1:0"))
			defer l.Close()
			c := must[net.Conn](b)(net.Dial("tcp4", l.Addr().String()))
			return c, must[net.Conn](b)(l.Accept())
		},
	}
	for _, name := range []string{"connwrap", "net"} {
		b.Run(name, func(b *testing.B) {
			x, y := pairs[name]()
			defer x.Close()
			defer y.Close()
			x.(tcp).SetNoDelay(true)
			p := make([]byte, 512)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			cpu := -cpuTime(b)
			for b.Loop() {
				if _, err := x.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(y, p); err != nil {
					b.Fatal(err)
				}
			}
			reportCPU(b, cpu+cpuTime(b))
		})
	}
}

// BenchmarkCopy relays 64 KiB a time between two TCP connections: short copies,
// where what io.Copy costs beyond the bytes shows.
func BenchmarkCopy(b *testing.B) {
	const size = 64 << 10
	for _, name := range []string{"ours tcp", "net tcp"} {
		b.Run(name, func(b *testing.B) {
			from, to := kinds[name](b), kinds[name](b)
			defer from.Close()
			defer to.Close()
			p := make([]byte, size)
			b.SetBytes(size)
			b.ReportAllocs()
			cpu := -cpuTime(b)
			for b.Loop() {
				go from.far.Write(p[:size/2])
				go from.far.Write(p[size/2:])
				if n, err := io.CopyN(to.near, from.near, size); err != nil {
					b.Fatal(n, err)
				}
				if _, err := io.ReadFull(to.far, p); err != nil {
					b.Fatal(err)
				}
			}
			reportCPU(b, cpu+cpuTime(b))
		})
	}
}
