package fdpass

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// BenchmarkQueue is one connection through a queue in one process: sending,
// receiving and closing. With a batch of 1 each record is a sendmsg, else there
// is a sendmmsg for each 16.
func BenchmarkQueue(b *testing.B) {
	for _, size := range []int{1, 2, 4, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			q := newQueue(b)
			r := NewReceiver(q.ReceiveEnd())
			rs := records(devNull(b, 1)[0], size)
			for n := 0; n < b.N; n += size {
				if _, err := q.Send(rs); err != nil {
					b.Fatal(err)
				}
				for range rs {
					fd, _, err := r.Accept()
					if err != nil {
						b.Fatal(err)
					}
					fd.Close()
				}
			}
		})
	}
}

// BenchmarkSend is the sending alone, 64 records at a time: one by one, and in
// sendmmsg calls.
func BenchmarkSend(b *testing.B) {
	const size = 64
	for _, step := range []int{1, 2, 4, 8, 16, 64} {
		b.Run(fmt.Sprintf("step=%d", step), func(b *testing.B) {
			b.ReportAllocs()
			q := newQueue(b)
			rs := records(devNull(b, 1)[0], size)
			for n := 0; n < b.N; n += size {
				for i := 0; i < size; i += step {
					if _, err := q.Send(rs[i : i+step]); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				for range rs {
					fd, _, err := q.Steal()
					if err != nil {
						b.Fatal(err)
					}
					fd.Close()
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkSpare(b *testing.B) {
	null := devNull(b, 1)[0]
	b.Run("count", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			spare(null, openLimit())
		}
	})
	b.Run("limit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			openLimit()
		}
	})
	b.Run("take", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			spareByTaking(null, margin+burst)
		}
	})
}

func BenchmarkLen(b *testing.B) {
	b.ReportAllocs()
	q := newQueue(b)
	if _, err := q.Send(records(devNull(b, 1)[0], 100)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := q.Len(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, count := range []int{0, 1, 16, MaxFDs} {
		b.Run(fmt.Sprintf("fds=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			x, y := pair(b, sock.SeqPacket)
			sent, fds, p := devNull(b, count), make([]sock.FD, MaxFDs), make([]byte, 64)
			for b.Loop() {
				if err := Send(x, p, sent...); err != nil {
					b.Fatal(err)
				}
				_, n, err := Receive(y, p, fds)
				if err != nil {
					b.Fatal(err)
				}
				for _, fd := range fds[:n] {
					unix.Close(int(fd))
				}
			}
		})
	}
}
