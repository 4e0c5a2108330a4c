package backlog

import (
	"fmt"
	"math"
	"time"
)

// A Load is what a listener has to stand.
type Load struct {
	Arrivals float64       // λ: connections per second, in the busiest time that counts
	Accepts  float64       // μ: that the server can take per second; 0: unknown
	Stall    time.Duration // S: the longest time without an accept
	Promise  time.Duration // the longest that a client may wait for accept; 0: no promise
	Bytes    int           // that a client sends before its connection is accepted
}

// An Advice is a backlog, and the arithmetic that leads to it.
type Advice struct {
	Backlog int     // for listen(2), at least 1: Mean + Margin, rounded up
	Mean    float64 // arrivals during the longest stall, λS
	Margin  float64 // three standard deviations of a Poisson distribution, 3√(λS)

	// Overloaded: more arrive than are accepted, λ > μ. Then no backlog is
	// enough: one of Backlog fills in FillsIn, Backlog/(λ−μ).
	Overloaded bool
	FillsIn    time.Duration

	Wait   time.Duration // of the last client in a full queue, Backlog/μ; 0: μ is unknown
	Most   int           // the greatest backlog that keeps the promise, μ·Promise; 0: none does, or none was asked for
	Memory int64         // bytes of kernel memory that a full queue holds, roughly
}

// Advise says what backlog a load needs: enough for what arrives while the
// server doesn't accept. A λ close below μ makes queues without any stall, which
// this arithmetic leaves out. A number that is negative, NaN or infinite is an
// error.
//
// Memory is an estimate from a 64-bit Linux 6.18: 3,000 bytes for each socket
// with its request, and what the client sent, in segments of 1,460 bytes with
// 832 bytes of overhead each. It counts for no process or cgroup until accept.
func Advise(l Load) (Advice, error) {
	if err := l.check(); err != nil {
		return Advice{}, err
	}
	a := Advice{Mean: min(l.Arrivals*l.Stall.Seconds(), math.MaxFloat64)}
	a.Margin = 3 * math.Sqrt(a.Mean)
	a.Backlog = max(1, backlog(math.Ceil(a.Mean+a.Margin)))
	if l.Accepts > 0 {
		a.Wait = seconds(float64(a.Backlog) / l.Accepts)
		a.Most = backlog(math.Floor(l.Accepts * l.Promise.Seconds()))
		if a.Overloaded = l.Arrivals > l.Accepts; a.Overloaded {
			a.FillsIn = seconds(float64(a.Backlog) / (l.Arrivals - l.Accepts))
		}
	}
	a.Memory = queueMemory(a.Backlog, l.Bytes)
	return a, nil
}

func (l Load) check() error {
	for _, n := range []struct {
		name  string
		value float64
		given any
	}{
		{"Arrivals", l.Arrivals, l.Arrivals},
		{"Accepts", l.Accepts, l.Accepts},
		{"Stall", float64(l.Stall), l.Stall},
		{"Promise", float64(l.Promise), l.Promise},
		{"Bytes", float64(l.Bytes), l.Bytes},
	} {
		if !(n.value >= 0) || math.IsInf(n.value, 1) {
			return fmt.Errorf("advise: %s is %v: it must be 0 or more, and finite", n.name, n.given)
		}
	}
	return nil
}

// What a connection that nobody has accepted costs the kernel: tcp_sock (2,368
// bytes), request_sock (320) and an object of 128, with the waste of their slabs.
// Read from /proc/slabinfo with 4,000 connections queued over loopback. Data
// costs its skb's truesize: r832+n in the skmem of ss -m for n bytes of a segment.
const (
	socketMemory    = 3000
	segmentOverhead = 832
	segmentSize     = 1460
)

func queueMemory(backlog, bytes int) int64 {
	segments := math.Ceil(float64(bytes) / segmentSize)
	each := socketMemory + float64(bytes) + segments*segmentOverhead
	return clamp(each*(float64(backlog)+1), math.MaxInt64) // the queue holds one more
}

// backlog is n as listen(2) takes it, an int of C.
func backlog(n float64) int { return int(clamp(n, math.MaxInt32)) }

func seconds(s float64) time.Duration {
	return time.Duration(clamp(s*float64(time.Second), math.MaxInt64))
}

// clamp converts, and gives most for what is greater: the conversion alone is
// undefined there.
func clamp(n float64, most int64) int64 {
	if n >= float64(most) {
		return most
	}
	return int64(n)
}
