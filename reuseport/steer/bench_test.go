package steer

import (
	"net"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"onconn/reuseport"
)

// The cost of a connection, made, accepted and closed; and of the program alone,
// by the kernel's own count, as root.
func BenchmarkConnection(b *testing.B) {
	run := func(name string, s func(testing.TB) reuseport.Steering, n int) {
		b.Run(name, func(b *testing.B) {
			steering := s(b)
			g := newGroup(b, steering, n)
			perSYN := runTime(b, steering)
			for b.Loop() {
				conn, err := net.Dial("tcp", g.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				conn.(*net.TCPConn).SetLinger(0)
				for _, m := range g.Members() {
					if q, err := m.Queue(); err == nil && q.Depth > 0 {
						c, err := m.Accept()
						if err != nil {
							b.Fatal(err)
						}
						c.Close()
						break
					}
				}
				conn.Close()
			}
			if ns := perSYN(); ns > 0 {
				b.ReportMetric(ns, "ns/SYN")
			}
		})
	}
	plain := func(s reuseport.Steering) func(testing.TB) reuseport.Steering {
		return func(testing.TB) reuseport.Steering { return s }
	}
	run("hash", plain(reuseport.Hash{}), 4)
	run("weighted cBPF", plain(reuseport.Weighted{}), 4)
	for _, policy := range []Policy{RoundRobin, LeastLoaded, Weighted, SourceHash} {
		run("ebpf "+policy.String(), func(t testing.TB) reuseport.Steering {
			return newProgram(t, Config{Policy: policy, HangAfter: time.Hour})
		}, 4)
	}
	run("ebpf least-loaded of 64", func(t testing.TB) reuseport.Steering {
		return newProgram(t, Config{Policy: LeastLoaded, HangAfter: time.Hour})
	}, 64)
}

// runTime returns what tells the mean time of a run of the program from now on,
// in ns, or 0 if it can't be known.
func runTime(b *testing.B, s reuseport.Steering) func() float64 {
	p, ok := s.(*Program)
	if !ok {
		return func() float64 { return 0 }
	}
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Log(err)
		return func() float64 { return 0 }
	}
	b.Cleanup(func() { stats.Close() })
	fd, err := p.program.Dup()
	if err != nil {
		b.Fatal(err)
	}
	program, err := ebpf.NewProgramFromFD(int(fd))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { program.Close() })
	return func() float64 {
		st, err := program.Stats()
		if err != nil || st.RunCount == 0 {
			return 0
		}
		return float64(st.Runtime) / float64(st.RunCount)
	}
}
