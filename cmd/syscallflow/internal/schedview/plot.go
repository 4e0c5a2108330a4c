package schedview

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"onconn/internal/sched"
)

// The plot of latencies: to the right the rarer ones, upwards the longer ones,
// both by logarithms.
const (
	plotWidth, plotHeight = 640, 300
	plotLeft, plotRight   = 56, 90 // what axis and names take
	plotTop, plotBottom   = 10, 30
	rarest                = 3.0 // one in 10 to the third
)

// rarity is where a part of the requests stands on the axis, from 0 to 1.
func rarity(part float64) float64 {
	if part >= 1 {
		return 1
	}
	return math.Min(-math.Log10(1-part), rarest) / rarest
}

func plotX(part float64) float64 {
	return plotLeft + rarity(part)*(plotWidth-plotLeft-plotRight)
}

// A span is that of the vertical axis, in powers of ten of a ms.
type span struct{ low, high float64 }

func spanOf(c sched.CaseReport) span {
	least, most := math.Inf(1), math.Inf(-1)
	for _, w := range c.Ways {
		for _, d := range w.Curve {
			v := math.Log10(ms(d))
			least, most = min(least, v), max(most, v)
		}
	}
	if least > most {
		return span{0, 1}
	}
	s := span{math.Floor(least), math.Ceil(most)}
	if s.low == s.high {
		s.high++
	}
	return s
}

func ms(d time.Duration) float64 {
	return max(float64(d)/float64(time.Millisecond), 0.001)
}

func (s span) y(v float64) float64 {
	return plotTop + (s.high-v)/(s.high-s.low)*(plotHeight-plotTop-plotBottom)
}

// curvesSVG draws a line for each way. Lines differ by dashes, too.
func curvesSVG(at []float64, c sched.CaseReport) template.HTML {
	var b strings.Builder
	s := spanOf(c)
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="latencies, %s">`, plotWidth, plotHeight, template.HTMLEscapeString(c.Name))
	for v := s.low; v <= s.high; v++ {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="axis" text-anchor="end" x="%d" y="%.1f">%s</text>`,
			plotLeft, plotWidth-plotRight, s.y(v), s.y(v), plotLeft-6, s.y(v)+4, tick(v))
	}
	for _, part := range []float64{0, 0.5, 0.9, 0.99, 1} {
		name := fmt.Sprintf("p%g", part*100)
		switch part {
		case 0:
			name = "min"
		case 1:
			name = "max"
		}
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="axis" text-anchor="middle" x="%.1f" y="%d">%s</text>`,
			plotX(part), plotX(part), plotTop, plotHeight-plotBottom, plotX(part), plotHeight-plotBottom+18, name)
	}
	names := namesAt(s, c)
	for i, w := range c.Ways {
		var points []string
		for k, d := range w.Curve {
			if k < len(at) {
				points = append(points, fmt.Sprintf("%.1f,%.1f", plotX(at[k]), s.y(math.Log10(ms(d)))))
			}
		}
		fmt.Fprintf(&b, `<polyline class="s%d" points="%s"><title>%s</title></polyline><text class="n%d" x="%d" y="%.1f">%s</text>`,
			i%colours, strings.Join(points, " "), w.Way, i%colours, plotWidth-plotRight+6, names[i]+4, w.Way)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

func tick(v float64) string {
	if v >= 3 {
		return fmt.Sprintf("%g s", math.Pow(10, v-3))
	}
	return fmt.Sprintf("%g ms", math.Pow(10, v))
}

// namesAt are the heights of the names at the ends of the lines, moved apart.
func namesAt(s span, c sched.CaseReport) []float64 {
	const apart = 14
	at := make([]float64, len(c.Ways))
	order := make([]int, 0, len(c.Ways))
	for i, w := range c.Ways {
		if len(w.Curve) > 0 {
			at[i] = s.y(math.Log10(ms(w.Curve[len(w.Curve)-1])))
		}
		k := len(order)
		for k > 0 && at[order[k-1]] > at[i] {
			k--
		}
		order = append(order[:k], append([]int{i}, order[k:]...)...)
	}
	for k := 1; k < len(order); k++ {
		at[order[k]] = max(at[order[k]], at[order[k-1]]+apart)
	}
	// What has been moved below the plot moves up, and others before it.
	for k, limit := len(order)-1, float64(plotHeight-8); k >= 0; k, limit = k-1, at[order[k]]-apart {
		at[order[k]] = min(at[order[k]], limit)
	}
	return at
}
