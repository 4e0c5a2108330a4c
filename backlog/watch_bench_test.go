package backlog

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// BenchmarkWatch watches for a second each, and shows what part of a CPU that takes.
func BenchmarkWatch(b *testing.B) {
	for _, tt := range []struct {
		listeners, connections int
		rates                  bool
	}{
		{10, 0, false},
		{10, 0, true},
		{10, 9000, false},
		{10, 9000, true},
		{10_000, 0, false},
		{10_000, 0, true},
	} {
		b.Run(fmt.Sprintf("listeners=%d/connections=%d/rates=%v", tt.listeners, tt.connections, tt.rates), func(b *testing.B) {
			for range tt.listeners {
				_, addr := listening(b, inet("127.0.0.1:0"), sock.Stream, 0, 4096)
				for range tt.connections / tt.listeners {
					connecting(b, addr)
				}
			}
			w, err := Watch(ourNamespace(b), WatchConfig{Rates: tt.rates})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			b.ReportAllocs()
			w.Reset()
			used := cpu(b)
			for b.Loop() {
				time.Sleep(100 * time.Millisecond)
			}
			used = cpu(b) - used
			b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "%CPU")
			b.ReportMetric(float64(w.Observations()[0].Samples)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
