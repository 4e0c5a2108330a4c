package top

import (
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/words"
)

// unknown stands where a value could be.
const unknown = "-"

func rate(v *float64) string {
	if v == nil {
		return unknown
	}
	return words.Rate(*v)
}

func perSecond(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return words.Rate(*v) + "/s"
}

func oldestWait(r survey.Row) string {
	if r.OldestWait == nil {
		return unknown
	}
	return words.Duration(*r.OldestWait)
}

// fill is a depth as a fraction of what the queue holds; of a group, the fullest
// socket's.
func fill(depth int, r survey.Row) float64 {
	return float64(depth) / float64(max(r.Worst().Capacity, 1))
}
