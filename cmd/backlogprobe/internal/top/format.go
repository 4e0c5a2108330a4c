package top

import (
	"fmt"
	"strconv"
	"time"

	"onconn/cmd/backlogprobe/internal/survey"
)

// unknown stands where a value could be.
const unknown = "-"

// rate is a number per second, in at most 5 cells up to 10 million.
func rate(v *float64) string {
	switch {
	case v == nil:
		return unknown
	case *v < 999.95:
		return strconv.FormatFloat(*v, 'f', 1, 64)
	case *v < 999_950:
		return strconv.FormatFloat(*v/1000, 'f', 1, 64) + "k"
	}
	return strconv.FormatFloat(*v/1e6, 'f', 1, 64) + "M"
}

func perSecond(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return rate(v) + "/s"
}

// wait is a time that somebody waits, in at most 5 cells up to 4 months.
func wait(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1ms"
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 99950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}

func oldestWait(r survey.Row) string {
	if r.OldestWait == nil {
		return unknown
	}
	return wait(*r.OldestWait)
}

// count is a number in at most 6 cells.
func count(n uint32) string {
	if n < 1_000_000 {
		return strconv.FormatUint(uint64(n), 10)
	}
	return fmt.Sprintf("%dM", n/1_000_000)
}

// percent of a fraction. What is less than all of it is never 100%, and what is
// more than nothing never 0%.
func percent(f float64) string {
	p := int(f*100 + 0.5)
	if f > 0 && p == 0 {
		return "<1%"
	}
	if f < 1 && p >= 100 {
		p = 99
	}
	return strconv.Itoa(p) + "%"
}

func size(bytes int) string {
	switch {
	case bytes < 10<<10:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < 10<<20:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// full is the share of the time since Open or Reset for which the queue was full.
func full(r survey.Row, report *survey.Report) float64 {
	since := r.Observation.Until.Sub(r.Observation.Since)
	if since <= 0 {
		since = report.Sampled
	}
	if since <= 0 {
		return 0
	}
	return min(float64(r.Full)/float64(since), 1)
}

// processes names who holds a listener, briefly.
func processes(r survey.Row) string {
	switch n := len(r.Owners); n {
	case 0:
		return unknown
	case 1:
		return owner(r.Owners[0])
	default:
		first := r.Owners[0]
		for _, o := range r.Owners {
			if o.Command != first.Command {
				return fmt.Sprintf("%s and %d more", owner(first), n-1)
			}
		}
		return fmt.Sprintf("%s[%d..%d] x%d", first.Command, first.PID, r.Owners[n-1].PID, n)
	}
}
