package listen_test

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/internal/testleak"
	"onconn/listen"
	"onconn/sock"
)

// BenchmarkAccept accepts and closes connections that wait already, beside
// package net in the same run. The clients' part is not timed. cpu-ns/op is the
// time of this thread alone, which other programs disturb less.
func BenchmarkAccept(b *testing.B) {
	for _, bb := range []struct {
		name   string
		listen func() (net.Listener, error)
	}{
		{"net", func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }},
		{"listen", func() (net.Listener, error) { return listen.Listen("tcp", "127.0.0.1:0") }},
		{"listen paused", func() (net.Listener, error) {
			return listen.Config{PauseOnConnect: true}.Listen(b.Context(), "tcp", "127.0.0.1:0")
		}},
		{"listen shared", func() (net.Listener, error) {
			return listen.Config{Shared: true}.Listen(b.Context(), "tcp", "127.0.0.1:0")
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			testleak.FDs(b)
			l, err := bb.listen()
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			accepted(b, l, func() error {
				c, err := l.Accept()
				if err == nil {
					c.Close()
				}
				return err
			})
		})
	}
	b.Run("AcceptFD", func(b *testing.B) {
		testleak.FDs(b)
		l := mustListen(b, listen.Config{}, "tcp", "127.0.0.1:0")
		accepted(b, l, func() error {
			fd, _, err := l.AcceptFD()
			if err == nil {
				fd.Close()
			}
			return err
		})
	})
}

// accepted has accept take b.N connections, of which up to 256 wait at a time.
func accepted(b *testing.B, l net.Listener, accept func() error) {
	const burst = 256
	addr := sock.FromNetAddr(l.Addr())
	clients := make([]sock.FD, 0, burst)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var cpu time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= len(clients) {
		b.StopTimer()
		closeAll(clients)
		clients = clients[:0]
		for range min(left, burst) {
			clients = append(clients, connect(b, addr))
		}
		begin := threadTime(b)
		b.StartTimer()
		for range clients {
			if err := accept(); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		cpu += threadTime(b) - begin
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	closeAll(clients)
}

func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func connect(b *testing.B, addr sock.Addr) sock.FD {
	fd, err := sock.Socket(addr.Family(), sock.Stream, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := fd.Connect(addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		b.Fatal(err)
	}
	return fd
}

func closeAll(fds []sock.FD) {
	for _, fd := range fds {
		fd.Close()
	}
}
