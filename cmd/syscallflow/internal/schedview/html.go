package schedview

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"onconn/internal/sched"
	"onconn/internal/words"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// A pageTable is a table of the page.
type pageTable struct {
	Name, Title string
	Bars, Plot  template.HTML
	HungPlot    template.HTML
	HungTitle   string
	Rows        []pageRow
	Hung        bool
}

type pageRow struct {
	Way, Explain, Trouble                                  string
	Jain, MaxOfMean, Deviation                             string
	Mean, P50, P97, P99, Max, HungP99, Calls, Late, Colour string
}

// WriteHTML writes a page that needs no network and no script. The text below
// the plots says what they show.
func WriteHTML(w io.Writer, r *sched.Report) error {
	var d struct {
		Head        string
		Tables      []pageTable
		Predictions []sched.Prediction
		Remarks     []string
	}
	d.Head = fmt.Sprintf("%s, %s, Linux %s, seed %d, %s, %s", words.Count(r.Workers, "worker"), words.Count(r.CPUs, "CPU"),
		r.Kernel, r.Seed, words.Count(r.Repeat, "run"), r.Begun.Format("2 January 2006 15:04"))
	d.Predictions = r.Predictions()
	d.Remarks = remarks(r)
	for _, t := range tables(r) {
		d.Tables = append(d.Tables, newPageTable(r, t))
	}
	return page.Execute(w, d)
}

func newPageTable(r *sched.Report, t table) pageTable {
	p := pageTable{Name: t.Name, Title: t.Title, Bars: barsSVG(t.CaseReport), Plot: curvesSVG(r.Curve, t.CaseReport), Hung: t.hung != nil}
	if t.hung != nil {
		p.HungPlot, p.HungTitle = curvesSVG(r.Curve, *t.hung), t.hung.Title
	}
	for i, w := range t.Ways {
		f := w.Median
		row := pageRow{
			Way: string(w.Way), Explain: w.Way.Explain(), Trouble: trouble(w), Colour: fmt.Sprintf("c%d", i%colours),
			Jain: jain.value(f), MaxOfMean: maxOfMean.value(f), Deviation: deviation.value(f),
			Mean: average.value(f), P50: p50.value(f), P97: p97.value(f), P99: p99.value(f), Max: most.value(f),
			Calls: calls.value(f), Late: sched.Latency(f.Late),
		}
		if t.hung != nil {
			row.HungP99 = p99.value(t.hung.Ways[i].Median)
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

// colours are how many the page has.
const colours = 7

// barsSVG draws the shares: a row for each way, a bar for each worker.
func barsSVG(c sched.CaseReport) template.HTML {
	const (
		rowHeight, label, width = 26, 80, 640
		gap                     = 4
	)
	var b strings.Builder
	height := rowHeight*len(c.Ways) + 6
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="connections per worker, %s">`, width, height, template.HTMLEscapeString(c.Name))
	for i, w := range c.Ways {
		y := i*rowHeight + 3
		fmt.Fprintf(&b, `<text x="0" y="%d">%s</text>`, y+15, w.Way)
		ranked := w.Ranked()
		room := float64(width - label - gap*(len(ranked)-1))
		x := float64(label)
		for k, part := range ranked {
			fmt.Fprintf(&b, `<rect class="c%d" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"><title>%s, worker %d of %d from the fullest: %s</title></rect>`,
				i%colours, x, y, max(part*room, 1), rowHeight-7, w.Way, k+1, len(ranked), words.Percent(part))
			x += max(part*room, 1) + gap
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}
