package export

import (
	"time"

	"onconn/cmd/backlogprobe/internal/survey"
)

// A queue is that of a listener alone or, as the kernel refuses what is meant
// for a full socket though others of its group have room, of the fullest one.
type queue struct{ length, limit, peak int }

// queueOf is what a row's queue was since a moment, to a second. A history is
// of a minute at most, and then that is all there is.
func queueOf(r survey.Row, since time.Time) (q queue) {
	for i, s := range members(r) {
		peak := s.Depth
		for _, second := range s.Observation.History {
			if second.Start.Add(time.Second).After(since) {
				peak = max(peak, second.Max)
			}
		}
		if i == 0 || peak*(q.limit+1) > q.peak*(s.Limit+1) {
			q.peak, q.limit = peak, s.Limit
		}
		q.length = max(q.length, s.Depth)
	}
	return q
}
