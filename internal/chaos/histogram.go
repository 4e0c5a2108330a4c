package chaos

import (
	"math/bits"
	"time"
)

// A histogram counts times, with an error of at most an eighth.
type histogram struct {
	Counts [512]int64
	Worst  time.Duration
	Over1s int64
}

func (h *histogram) add(d time.Duration) {
	h.Counts[bucket(d)]++
	h.Worst = max(h.Worst, d)
	if d > time.Second {
		h.Over1s++
	}
}

// bucket: 8 for each power of two of nanoseconds.
func bucket(d time.Duration) int {
	n := uint64(max(d, 8))
	shift := bits.Len64(n) - 4
	return shift*8 + int(n>>shift)
}

// upper is the longest time in a bucket.
func upper(bucket int) time.Duration {
	shift := max(bucket/8-1, 0)
	return time.Duration((bucket-shift*8+1)<<shift) - 1
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Worst = max(h.Worst, other.Worst)
	h.Over1s += other.Over1s
}

// quantile is the time that the fraction q of all doesn't exceed.
func (h *histogram) quantile(q float64) time.Duration {
	var all, seen int64
	for _, n := range h.Counts {
		all += n
	}
	for i, n := range h.Counts {
		seen += n
		if n > 0 && float64(seen) >= q*float64(all) {
			return min(upper(i), h.Worst)
		}
	}
	return 0
}
