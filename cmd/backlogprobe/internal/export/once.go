package export

import (
	"fmt"
	"io"
	"time"

	"github.com/prometheus/common/expfmt"
)

// WriteOnce looks for d, which is more than 0, and writes the metrics as text.
// The counters that only a process which stays can keep are left out: time
// full, arrivals and accepts.
func WriteOnce(w io.Writer, s Source, perSocket bool, d time.Duration) error {
	c := New(s, perSocket)
	c.once = d
	families, err := c.registry().Gather()
	if err := c.Err(); err != nil {
		return fmt.Errorf("look at the listeners: %w", err)
	}
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}
