package terminal

import (
	"math"
	"strings"
)

// Bar is a bar of a width in cells, filled to a fraction from 0 to 1.
func (s Style) Bar(fraction float64, cells int) string {
	if cells <= 0 {
		return ""
	}
	fraction = min(max(fraction, 0), 1) // and NaN stays
	if s.ASCII {
		full := eighths(fraction, cells) / 8
		return strings.Repeat("#", full) + strings.Repeat(".", cells-full)
	}
	n := eighths(fraction, cells)
	bar := strings.Repeat("█", n/8)
	if part := n % 8; part > 0 {
		bar += string([]rune(" ▏▎▍▌▋▊▉")[part])
		n += 8 - part
	}
	return bar + strings.Repeat(" ", cells-n/8)
}

// eighths is a fraction of cells in eighths of one. What isn't nothing shows.
func eighths(fraction float64, cells int) int {
	if !(fraction > 0) {
		return 0
	}
	return max(int(math.Round(fraction*float64(cells)*8)), 1)
}

// Spark draws values as a line of columns, a cell each. One of limit, or greater,
// is full; a limit of 0 is the greatest value. What is above 0 shows.
func (s Style) Spark(values []float64, limit float64) string {
	steps := []rune("▁▂▃▄▅▆▇█")
	if s.ASCII {
		steps = []rune(" .:-=+*#")
	}
	if limit <= 0 {
		for _, v := range values {
			limit = math.Max(limit, v)
		}
	}
	top := len(steps) - 1
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = steps[0]
		if v > 0 {
			line[i] = steps[max(int(math.Round(math.Min(v/limit, 1)*float64(top))), 1)]
		}
	}
	return string(line)
}
