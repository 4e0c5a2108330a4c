package accept

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// BenchmarkAcceptClose has a server in a process of its own accept and close
// connections, of which 64 are in flight. What it costs the server stands in
// cpu-ns/conn and allocs/conn; ns/op is mostly the client's.
func BenchmarkAcceptClose(b *testing.B) {
	for _, bm := range []struct{ name, role, env string }{
		{"Loop", "serve", ""},
		{"LoopShared", "serve", "SHARED=1"},
		{"net.Listen", "net", ""},
	} {
		b.Run(bm.name, func(b *testing.B) {
			ln := listener(b, sock.Inet, sock.Stream, 511)
			p := spawn(b, ln, bm.role, bm.env)
			c := newClient(b, ln)
			before := p.do("close")
			b.ResetTimer()
			for done := 0; done < b.N; done += c.burst(min(64, b.N-done)) {
			}
			b.StopTimer()
			after := p.do("status")
			b.ReportMetric(float64(after.CPU-before.CPU)/float64(b.N), "cpu-ns/conn")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "allocs/conn")
		})
	}
}

// BenchmarkWatch is one byte through a watched connection and back.
func BenchmarkWatch(b *testing.B) {
	l := newLoop(b, Options{})
	conn, peer := pair(b)
	check(b, l.Watch(conn, unix.EPOLLIN, func(fd sock.FD, _ uint32) {
		var buf [1]byte
		n, _ := fd.Read(buf[:])
		fd.Write(buf[:n])
	}))
	check(b, unix.SetNonblock(int(peer), false))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	b.ReportAllocs()
	buf := []byte("x")
	for b.Loop() {
		peer.Write(buf)
		peer.Read(buf)
	}
	cancel()
	check(b, <-ended)
}

func BenchmarkClassify(b *testing.B) {
	_, _, err := tcp(b).Accept()
	b.ReportAllocs()
	for b.Loop() {
		Classify(err)
	}
}
