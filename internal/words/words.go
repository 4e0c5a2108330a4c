// Package words writes numbers as people read them.
package words

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration has two significant digits, and no more than one unit but for minutes:
// "<1ms", "41ms", "9.4s", "1m48s", "3h20m".
func Duration(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Millisecond:
		return "<1ms"
	case d < 999500*time.Microsecond:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + "ms"
	case d < 9950*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < 100*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 0, 64) + "s"
	case d < 100*time.Minute:
		return whole(d.Round(time.Second))
	case d < 100*time.Hour:
		return whole(d.Round(time.Minute))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24+0.5))
}

// whole leaves out the units that are zero at the end: "2m", not "2m0s".
func whole(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"0s", "0m"} {
		if rest, ok := strings.CutSuffix(text, zero); ok && strings.TrimRight(rest, "hm") != rest {
			text = rest
		}
	}
	return text
}

// Rate is a number per second in five cells at most: "0", "0.3", "54.5", "920", "8.1k".
func Rate(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "0"
	case perSecond < 0.1:
		return "<0.1"
	case perSecond < 99.95:
		return strings.TrimSuffix(strconv.FormatFloat(perSecond, 'f', 1, 64), ".0")
	case perSecond < 9999.5:
		return strconv.FormatFloat(perSecond, 'f', 0, 64)
	case perSecond < 99950:
		return strconv.FormatFloat(perSecond/1e3, 'f', 1, 64) + "k"
	case perSecond < 999500:
		return strconv.FormatFloat(perSecond/1e3, 'f', 0, 64) + "k"
	}
	return strconv.FormatFloat(perSecond/1e6, 'f', 1, 64) + "M"
}

// Count is a number with its noun: "1 client", "38 clients".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Bytes has binary units: "512 B", "16 KiB", "1.5 MiB".
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 1023.5 && unit < 4 {
		v, unit = v/1024, unit+1
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[unit])
	}
	return fmt.Sprintf("%.0f %ciB", v, "KMGTP"[unit])
}

// Percent of a fraction never says 0 or 100 of what is only near it.
func Percent(fraction float64) string {
	switch p := fraction * 100; {
	case p > 0 && p < 1:
		return "<1%"
	case p > 99 && p < 100:
		return "99%"
	default:
		return strconv.Itoa(int(p+0.5)) + "%"
	}
}
