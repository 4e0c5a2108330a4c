package probe

import (
	"fmt"
	"time"
)

// GradeRule explains the grades; they are about the clients of the burst.
const GradeRule = `A  every client was connected by its first SYN
B  up to 5 % had to send it again (about 1 s), none failed
C  up to 25 %, none failed
D  more, but none failed
E  up to 10 % were refused or still waited at the end
F  more than that, or the queue holds less than listen(2) promised`

func (r *Report) grade() {
	b := r.Burst
	if b == nil || b.Clients == 0 {
		r.unknown("grade", "there was no burst")
		return
	}
	failed := b.Unanswered + b.Refused + b.ResetLater
	g := &Grade{}
	switch c := r.Capacity; {
	case c != nil && !c.AtLeast && r.Listener != nil && r.Listener.Members == 1 && c.Measured < r.Listener.Promised:
		g.Letter, g.Why = "F", fmt.Sprintf("the queue holds %d connections, not the %d that listen(2) promised", c.Measured, r.Listener.Promised)
	case failed*10 > b.Clients:
		g.Letter, g.Why = "F", fmt.Sprintf("%s of the clients failed", share(failed, b.Clients))
	case failed > 0:
		g.Letter, g.Why = "E", fmt.Sprintf("%s of the clients failed", share(failed, b.Clients))
	case b.Retried == 0:
		g.Letter, g.Why = "A", "every client was connected by its first SYN"
	case b.Retried*20 <= b.Clients:
		g.Letter = "B"
	case b.Retried*4 <= b.Clients:
		g.Letter = "C"
	default:
		g.Letter = "D"
	}
	if g.Why == "" {
		g.Why = fmt.Sprintf("%s of the clients had to send their SYN again, none failed", share(b.Retried, b.Clients))
	}
	if r.Interrupted {
		g.Why += " (until the interruption)"
	}
	r.Grade = g
}

func share(n, of int) string { return fmt.Sprintf("%.3g %%", 100*float64(n)/float64(of)) }

// Thresholds are what a report is judged by. Zero is no threshold.
type Thresholds struct {
	Capacity int           // connections that the accept queue holds at least
	Wait     time.Duration // that a client of the burst waits at most
}

// Judge notes which thresholds the report misses, or can't show to be met.
func (r *Report) Judge(t Thresholds) {
	if t.Capacity > 0 {
		switch have, how := r.capacity(); {
		case how == "":
			r.missed("capacity unknown, wanted %d: probe on the server's host", t.Capacity)
		case have < t.Capacity:
			r.missed("capacity %d (%s), wanted %d", have, how, t.Capacity)
		}
	}
	if t.Wait > 0 {
		switch b := r.Burst; {
		case b == nil || r.Interrupted:
			r.missed("the longest wait is unknown: there was no whole burst")
		case b.Refused+b.ResetLater > 0:
			r.missed("%d clients were refused", b.Refused+b.ResetLater)
		case b.Max > t.Wait:
			r.missed("a client waited %v, wanted %v at most", duration(b.Max), t.Wait)
		}
	}
}

func (r *Report) missed(format string, args ...any) {
	r.Missed = append(r.Missed, fmt.Sprintf(format, args...))
}

// capacity is the best that is known of it: measured, or as the kernel promises.
func (r *Report) capacity() (n int, how string) {
	switch {
	case r.Capacity != nil && r.Capacity.Refused > 0:
		return r.Capacity.Measured, "measured"
	case r.SYN != nil && r.SYN.Completed > 0 && r.SYN.Unanswered > 0 && r.Listener != nil:
		return r.SYN.Completed + r.Listener.Depth, "measured"
	case r.Listener != nil:
		return r.Listener.Promised, "promised"
	}
	return 0, ""
}
