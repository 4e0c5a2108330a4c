package terminal

import (
	"fmt"
	"io"
	"sync"
)

// A Progress is one line that is written over and over. On anything but a
// terminal it writes nothing. Its methods may be called from several goroutines.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer // nil: silent
	style Style
	shown bool
}

// NewProgress writes to w, standard error as a rule.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{}
	if IsTerminal(w) {
		p.w = w
		p.style, _ = ForWriter(w, "auto", false)
	}
	return p
}

// Set shows how far something is, from 0 to 1, and a text. A negative fraction
// shows the text alone.
func (p *Progress) Set(fraction float64, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w == nil {
		return
	}
	line := text
	if fraction >= 0 {
		line = fmt.Sprintf("[%s] %s", p.style.Bar(fraction, 20), text)
	}
	// A line as wide as the terminal would wrap on some.
	fmt.Fprintf(p.w, "\r%s\x1b[K", p.style.Cut(line, p.style.Width-1))
	p.shown = true
}

// Done removes the line.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
