package load

import (
	"math/bits"
	"time"
)

// fine is how many buckets a power of two has: an error of 3 % at most.
const fine = 32

// A Histogram counts durations, log-linear from a nanosecond to minutes.
type Histogram struct {
	Counts []uint32
	Max    time.Duration
}

func newHistogram() Histogram { return Histogram{Counts: make([]uint32, fine*34)} }

func (h *Histogram) add(d time.Duration) {
	h.Counts[min(bucket(d), len(h.Counts)-1)]++
	h.Max = max(h.Max, d)
}

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < fine {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len64(fine)
	return shift*fine + int(v>>shift)
}

// lowest is the least duration of a bucket.
func lowest(b int) time.Duration {
	if b < 2*fine {
		return time.Duration(b)
	}
	shift := b/fine - 1
	return time.Duration((b - shift*fine) << shift)
}

// Quantile is the duration that the share q of all doesn't exceed, but for the width
// of a bucket; 0 of nothing.
func (h *Histogram) Quantile(q float64) time.Duration {
	n := 0
	for _, c := range h.Counts {
		n += int(c)
	}
	left := max(int(q*float64(n)+0.5), 1)
	for b, c := range h.Counts[:max(len(h.Counts)-1, 0)] { // the last has no end
		if left -= int(c); left <= 0 && n > 0 {
			return min(lowest(b+1)-1, h.Max)
		}
	}
	return h.Max
}
