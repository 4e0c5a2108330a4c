package load

import (
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	last := -1
	for d := time.Duration(1); d < 4*time.Minute; d += d/100 + 1 {
		b := bucket(d)
		if lowest(b) > d || d >= lowest(b+1) {
			t.Fatalf("%v is in the bucket from %v to %v", d, lowest(b), lowest(b+1))
		}
		if b < last {
			t.Fatalf("%v: bucket %d comes after %d", d, b, last)
		}
		if width := lowest(b+1) - lowest(b); b >= fine && width > d/fine {
			t.Fatalf("%v: its bucket is %v wide", d, width)
		}
		last = b
	}
}

func TestQuantile(t *testing.T) {
	h := newHistogram()
	if q := h.Quantile(0.5); q != 0 {
		t.Errorf("of nothing: %v", q)
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{
		0.5: 500 * time.Microsecond, 0.9: 900 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond,
	} {
		if got := h.Quantile(q); got < want || got > want+want/fine {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	h.add(time.Hour)
	if h.Max != time.Hour || h.Quantile(1) != time.Hour {
		t.Errorf("longest: %v, %v", h.Max, h.Quantile(1))
	}
}
