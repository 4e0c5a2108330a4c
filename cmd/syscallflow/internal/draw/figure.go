package draw

import (
	"fmt"

	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/terminal"
)

// Measures of the figure, in units of the SVG. The letters are of one width, so
// that it is known here what room a text takes.
const (
	letterWidth = 7.3
	rowHeight   = 32.0
	headHeight  = 64.0
	firstLane   = 92.0
	leastGap    = 120.0
	stripHeight = 40.0
)

// A figure is a drawing with the place of everything.
type figure struct {
	Width, Height float64
	Lanes         []svgLane
	Steps         []svgStep
	Strips        []svgStrip
	Sockets       []svgSocket
}

type svgLane struct {
	X            float64
	Name, Detail string
	Class        string
	Lines        []svgLine // of life: dotted where nothing happens
}

type svgLine struct{ Y1, Y2 float64 }

type svgStep struct {
	N                 int // from 1
	Y, X1, X2         float64
	Class             string
	Time              string
	Label, Letter     string
	LabelX            float64
	Middle            bool // the label is above an arrow, not beside a lane
	Result            string
	ResultX           float64
	Note              string
	Head              string // points of the arrow's head
	Cross             bool   // instead of a head
	CrossX            float64
	Double            bool
	Rest, Local, Line bool
	Socket            int
	Title             string
}

// Top, Bar and so on are places in a row.
func (s svgStep) Top() float64   { return s.Y - rowHeight/2 - 2 }
func (s svgStep) Above() float64 { return s.Y - 7 }
func (s svgStep) Below() float64 { return s.Y + 4 }
func (s svgStep) Upper() float64 { return s.Y - 1.6 }
func (s svgStep) Lower() float64 { return s.Y + 1.6 }

type svgStrip struct {
	Name   string
	Height float64
	Bars   []svgBar
}

type svgBar struct {
	N             int
	X, Y, W, H    float64
	Title, Height string
}

type svgSocket struct {
	N                         int
	Letter, What, Trail, Hues string
}

// draft computes the places.
func draft(s *story.Story) *figure {
	f := &figure{}
	x := f.lanes(s)
	y := headHeight
	for i := range s.Steps {
		f.step(s, i, x, y)
		y += rowHeight
	}
	f.Height = y + 4
	f.lives(s)
	for _, q := range s.Queues {
		f.Strips = append(f.Strips, strip(s, q))
	}
	for i, so := range s.Sockets {
		f.Sockets = append(f.Sockets, svgSocket{N: i + 1, Letter: so.Letter, What: terminal.Clean(so.What),
			Trail: terminal.Clean(so.Trail), Hues: hue(i + 1)})
	}
	return f
}

// width is the room of a text.
func width(text string) float64 { return float64(terminal.Cells(text)) * letterWidth }

// lanes places them so far apart that a label fits between two.
func (f *figure) lanes(s *story.Story) (x []float64) {
	gaps := make([]float64, len(s.Lanes))
	for i, l := range s.Lanes {
		l.Name, l.Detail = terminal.Clean(l.Name), terminal.Clean(l.Detail)
		gaps[i] = leastGap
		if i > 0 {
			before := f.Lanes[i-1]
			gaps[i-1] = max(gaps[i-1], (width(before.Name)+width(l.Name))/2+16, (width(before.Detail)+width(l.Detail))/2+16)
		}
		f.Lanes = append(f.Lanes, svgLane{Name: l.Name, Detail: l.Detail, Class: [...]string{"client", "kernel", "process"}[l.Kind]})
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		left, right := min(step.From, step.To), max(step.From, step.To)
		if step.Kind != story.Rest && right == left+1 {
			gaps[left] = max(gaps[left], width(label(s, step))+32)
		}
	}
	at := firstLane + gapHalf(f.Lanes)
	for i := range f.Lanes {
		f.Lanes[i].X = at
		x = append(x, at)
		at += gaps[i]
	}
	f.Width = firstLane
	for _, l := range f.Lanes {
		f.Width = max(f.Width, l.X+max(width(l.Name), width(l.Detail))/2+12)
	}
	return x
}

// gapHalf is what the first lane's name needs to its left, beside the times.
func gapHalf(lanes []svgLane) float64 {
	if len(lanes) == 0 {
		return 0
	}
	return max(max(width(lanes[0].Name), width(lanes[0].Detail))/2-24, 0)
}

// label is a step's text with its socket.
func label(s *story.Story, step *story.Step) string {
	text := terminal.Clean(step.Label)
	if step.Socket > 0 {
		text += " ●" + s.Sockets[step.Socket-1].Letter
	}
	return text
}

func (f *figure) step(s *story.Story, i int, x []float64, y float64) {
	step := &s.Steps[i]
	g := svgStep{N: i + 1, Y: y + rowHeight/2, Time: fmt.Sprintf("%.1f", float64(step.Time)/1e6),
		Label: terminal.Clean(step.Label), Result: terminal.Clean(result(step)), Socket: step.Socket,
		Class: stateClass(step.State), Title: terminal.Clean(step.Why)}
	if step.Socket > 0 {
		g.Letter = "●" + s.Sockets[step.Socket-1].Letter
		g.Class += " " + hue(step.Socket)
	}
	if step.Note > 0 {
		g.Note = fmt.Sprintf("(%d)", step.Note) // not every font has ⑪
	}
	if step.Kind == story.Rest {
		g.Rest, g.LabelX, g.Class, g.Time = true, firstLane+8, "rest", ""
		f.Width = max(f.Width, g.LabelX+width(g.Label)+16)
		f.Steps = append(f.Steps, g)
		return
	}
	g.X1, g.X2 = x[step.From], x[step.To]
	right := max(g.X1, g.X2)
	g.Class += [...]string{" act", " data", " pass", "", " life", " like"}[step.Kind]
	if step.From == step.To {
		g.Local, g.LabelX = true, g.X1+12
		g.ResultX = g.LabelX + width(label(s, step)) + letterWidth
	} else {
		g.Line, g.Middle, g.LabelX = true, true, (g.X1+g.X2)/2
		g.ResultX = right + 12
		g.Double = step.Kind == story.Pass
		g.arrowhead(step.State == story.Failed)
	}
	f.Width = max(f.Width, g.ResultX+width(g.Result+" "+g.Note)+16)
	f.Steps = append(f.Steps, g)
}

// arrowhead ends the line before it, or with a cross where it didn't get through.
func (g *svgStep) arrowhead(failed bool) {
	to := 1.0
	if g.X2 < g.X1 {
		to = -1
	}
	tip := g.X2 - to*2
	if failed {
		g.Cross, g.CrossX = true, tip-to*5
	} else {
		g.Head = fmt.Sprintf("%.1f,%.1f %.1f,%.1f %.1f,%.1f", tip, g.Y, tip-to*10, g.Y-5, tip-to*10, g.Y+5)
	}
	g.X2 = tip - to*9
}

// result is what came of a step, in words.
func result(step *story.Step) string {
	text := step.Result
	switch {
	case step.State == story.Failed && text == "" && step.Kind != story.Life:
		text = "✗ failed"
	case step.State == story.Failed:
		text = "✗ " + text
	case step.State == story.Odd:
		text = "! " + text
	}
	if step.Times > 1 {
		text += fmt.Sprintf(" ×%d", step.Times)
	}
	return text
}

// lives draws each lifeline, with holes where time is folded.
func (f *figure) lives(s *story.Story) {
	var lines []svgLine
	from := headHeight - 8
	for i := range f.Steps {
		if s.Steps[i].Kind == story.Rest {
			lines = append(lines, svgLine{from, f.Steps[i].Y - 9})
			from = f.Steps[i].Y + 9
		}
	}
	lines = append(lines, svgLine{from, f.Height})
	for i := range f.Lanes {
		f.Lanes[i].Lines = lines
	}
}

// strip draws a queue over the steps, one bar for each.
func strip(s *story.Story, q story.Queue) svgStrip {
	const barWidth, high = 14.0, 26.0
	most := 0
	for _, d := range q.Depths {
		most = max(most, d)
	}
	source := "counted from the handshakes and accepts"
	if q.Sampled {
		source = "sampled"
	}
	st := svgStrip{Height: stripHeight,
		Name: fmt.Sprintf("accept queue %s %s: at most %d of %d (%s)", q.Letter, terminal.Clean(q.Address), most, q.Limit+1, source)}
	for i, d := range q.Depths {
		h := 1.0
		if most > 0 {
			h = max(float64(d)/float64(most)*high, 1)
		}
		st.Bars = append(st.Bars, svgBar{N: i + 1, X: float64(i) * barWidth, W: barWidth - 2, Y: high - h + 4, H: h,
			Title: fmt.Sprintf("step %d: %d waiting", i+1, d)})
	}
	return st
}

// hue is the class of a socket's colour.
func hue(socket int) string { return fmt.Sprintf("k%d", (socket-1)%8+1) }
