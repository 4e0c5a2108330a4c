package sock

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkAccept is Accept alone: connections are made and closed while the
// clock is stopped.
func BenchmarkAccept(b *testing.B) {
	const batch = 512
	for name, k := range kinds {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			l := k.listen(b, batch)
			a, err := l.Getsockname()
			check(b, err)
			fds := make([]FD, 0, 2*batch)
			for left := b.N; left > 0; left -= batch {
				b.StopTimer()
				n := min(left, batch)
				for range n {
					c, err := Socket(k.family, k.typ, k.proto)
					check(b, err)
					fds = append(fds, c)
					if err := c.Connect(a); !errors.Is(err, unix.EINPROGRESS) {
						check(b, err)
					}
					await(b, c, unix.POLLOUT)
				}
				b.StartTimer()
				for range n {
					fd, _, err := l.Accept()
					if err != nil {
						b.Fatal(err)
					}
					fds = append(fds, fd)
				}
				b.StopTimer()
				for _, fd := range fds {
					fd.Close()
				}
				fds = fds[:0]
			}
		})
	}
	b.Run("empty", func(b *testing.B) {
		b.ReportAllocs()
		l := tcp4.listen(b, 1)
		for b.Loop() {
			l.Accept()
		}
	})
}

func BenchmarkOption(b *testing.B) {
	fd := tcp4.socket(b)
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"SetFlag", func() error { return NoDelay.Set(fd, true) }},
		{"GetFlag", func() error { _, err := NoDelay.Get(fd); return err }},
		{"SetNumber", func() error { return RcvLowat.Set(fd, 1) }},
		{"GetNumber", func() error { _, err := RcvLowat.Get(fd); return err }},
		{"SetDuration", func() error { return KeepIdle.Set(fd, time.Minute) }},
		{"SetName", func() error { return Congestion.Set(fd, "reno") }},
		{"GetName", func() error { _, err := Congestion.Get(fd); return err }},
		{"GetTCPInfo", func() error { _, err := TCPInfo.Get(fd); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Lookup", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Lookup(unix.SOL_TCP, unix.TCP_WINDOW_CLAMP)
		}
	})
}
