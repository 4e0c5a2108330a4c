package probe

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"onconn/internal/terminal"
)

// Print writes the report for a person.
func (r *Report) Print(w io.Writer, s terminal.Style) {
	p := printer{w, s}
	p.listener(r)
	p.capacity(r)
	p.recovery(r.Recovery)
	p.syn(r)
	p.counters(r)
	p.burst(r)
	for _, note := range r.Notes {
		p.row("note", "%s", note)
	}
	for _, text := range r.Missed {
		p.row("missed", "%s %s", s.Mark(terminal.Critical), text)
	}
	if r.Grade != nil {
		p.row("grade", "%s: %s", p.letter(r.Grade.Letter), r.Grade.Why)
		p.survives(r)
	}
	if r.Interrupted {
		p.row("interrupted", "the figures are of the part that was done")
	}
}

type printer struct {
	w io.Writer
	s terminal.Style
}

func (p printer) row(name, format string, args ...any) {
	fmt.Fprintln(p.w, wrap(p.s, " "+terminal.Pad(name, 19)+" ", fmt.Sprintf(format, args...)))
}

func (p printer) listener(r *Report) {
	l := r.Listener
	if l == nil {
		p.row("listener", "%s", r.UnknownWhy["listener"])
		return
	}
	text := fmt.Sprintf("%s, limit %d, promises %d connections", terminal.Clean(l.Local), l.Limit, l.Promised)
	if l.Members > 1 {
		text = fmt.Sprintf("%s, %d sockets (SO_REUSEPORT), limits %d in all; each client meets one of them", l.Local, l.Members, l.Limit)
	}
	if l.Depth > 0 {
		text += fmt.Sprintf("; %d waited already", l.Depth)
	}
	p.row("listener", "%s", text)
}

func (p printer) capacity(r *Report) {
	c := r.Capacity
	if c == nil {
		return
	}
	measured := fmt.Sprintf("%d connections", c.Measured)
	if c.ConnectTime > 0 {
		measured += fmt.Sprintf(", %v each", duration(c.ConnectTime))
	}
	switch {
	case c.AtLeast:
		measured = fmt.Sprintf("at least %d: the queue did not get full", c.Measured)
	case c.Refused > 0:
		measured += fmt.Sprintf(", the next %d refused", c.Refused)
	}
	if l := r.Listener; l != nil && !c.AtLeast && l.Members == 1 {
		measured += " " + p.agree(c.Measured == l.Promised)
	}
	p.row("measured", "%s", measured)
	if c.Stopped > 0 {
		p.row("server stopped", "%v", duration(c.Stopped))
	}
	if c.Refusal != NotRefused {
		p.row("refusal looks like", "%s", c.Refusal.words())
	}
}

// words describe a refusal and what its client sees.
func (r Refusal) words() string {
	switch r {
	case Silence:
		return "SYN dropped, no RST; connect() takes a second or more"
	case Reset:
		return "RST; connect() fails at once with ECONNREFUSED"
	case LateReset:
		return "RST after the handshake; connect() works, the next read fails with ECONNRESET"
	case TryAgain:
		return "connect() fails at once with EAGAIN; a blocking one waits in the kernel"
	case NoListener:
		return "connect() fails at once with ECONNREFUSED: nobody listens"
	}
	return ""
}

func (p printer) recovery(r *Recovery) {
	if r == nil {
		return
	}
	if r.Connected == 0 {
		p.row("recovery", "%s none of the %d refused clients got in", p.s.Mark(terminal.Critical), r.Clients)
		return
	}
	text := fmt.Sprintf("first retry in %v after SIGCONT, %d of %d in %v; the longest connect() took %v",
		duration(r.FirstRetry), r.Connected, r.Clients, duration(r.All), duration(r.Longest))
	p.row("recovery", "%s", text)
}

func (p printer) syn(r *Report) {
	s := r.SYN
	if s == nil {
		return
	}
	p.row("SYNs", "%d sent: %d answered, %d not, %d reset", s.Sent, s.Answered, s.Unanswered, s.Reset)
	switch {
	case r.Interrupted: // too early to tell a kept request from a cookie
	case s.Completed+s.FinalRefused > 0:
		p.row("handshakes", "%d completed, %d final ACKs refused", s.Completed, s.FinalRefused)
	default:
		p.row("queue", "%d requests kept, %d answered with SYN cookies", s.Queued, s.Cookies)
	}
	if s.FirstResend > 0 {
		p.row("SYN-ACK again", "after %v: that tells a kept request from a cookie", duration(s.FirstResend))
	}
	if s.HalfOpen != nil && s.Left != nil {
		p.row("kernel shows", "%d of them in SYN_RECV, %d after our RSTs", *s.HalfOpen, *s.Left)
	}
}

func (p printer) counters(r *Report) {
	c := r.Counters
	if c == nil {
		if why := r.UnknownWhy["counters"]; why != "" && r.Listener != nil {
			p.row("counters", "%s", why)
		}
		return
	}
	if !c.any() {
		p.row("counters", "nothing dropped %s", p.agree(c.Agree))
		return
	}
	p.row("counters", "ListenOverflows +%d, ListenDrops +%d, this listener +%d %s",
		c.ListenOverflows, c.ListenDrops, c.Listener, p.agree(c.Agree))
	if c.SYNs > 0 {
		p.row("", "%d SYNs of ours refused, %d clients", c.SYNs, c.Clients)
	}
	if c.SyncookiesSent > 0 {
		p.row("", "SyncookiesSent +%d", c.SyncookiesSent)
	}
	if c.Why != "" {
		p.row("", "%s", c.Why)
	}
}

func (c *Counters) any() bool {
	return c.ListenOverflows+c.ListenDrops+c.SyncookiesSent > 0 || c.Listener+c.SYNs > 0
}

func (p printer) burst(r *Report) {
	b := r.Burst
	if b == nil {
		return
	}
	parts := []string{fmt.Sprintf("%d at once", b.AtOnce)}
	for _, part := range []struct {
		n    int
		what string
	}{{b.Retried, "after a retry"}, {b.Refused, "refused"}, {b.ResetLater, "reset after connect"}, {b.Unanswered, "never"}} {
		if part.n > 0 || part.what == "after a retry" {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	p.row(fmt.Sprintf("burst %d in %.1f s", b.Clients, b.Over.Seconds()), "connected: %s", strings.Join(parts, ", "))
	text := fmt.Sprintf("p50 %v, p99 %v, max %v", duration(b.P50), duration(b.P99), duration(b.Max))
	if b.Peak != nil {
		text += fmt.Sprintf("; the queue held %d at most", *b.Peak)
	}
	p.row("connect times", "%s", text)
	if b.Refusal != NotRefused && (r.Capacity == nil || r.Capacity.Refusal != b.Refusal) {
		p.row("refusal looks like", "%s", b.Refusal.words())
	}
}

// survives says what the capacity is worth at the rate of the burst.
func (p printer) survives(r *Report) {
	n, how := r.capacity()
	if how == "" || r.Burst.Over <= 0 {
		return
	}
	rate := float64(r.Burst.Clients) / r.Burst.Over.Seconds()
	p.row("", "%d places (%s): at %.0f clients/s they outlast a stall of %v", n, how, rate, duration(time.Duration(float64(n)/rate*float64(time.Second))))
}

func (p printer) letter(l string) string {
	switch {
	case slices.Contains([]string{"A", "B"}, l):
		return p.s.Good(l)
	case slices.Contains([]string{"C", "D"}, l):
		return p.s.Warn(l)
	}
	return p.s.Bad(l)
}

func (p printer) agree(yes bool) string {
	if yes {
		return p.s.Mark(terminal.OK)
	}
	return p.s.Mark(terminal.Warning)
}

// PrintStep writes a step of a demo: words, and the queues beside them.
func PrintStep(w io.Writer, s terminal.Style, step Step) {
	fmt.Fprintln(w, wrap(s, " ", step.Says))
	q := step.Queue
	if q == nil {
		return
	}
	line := fmt.Sprintf("     accept queue %s %d of %d", s.Bar(float64(q.Depth)/float64(q.Capacity), 12), q.Depth, q.Capacity)
	if q.HalfOpen != nil && q.Drops != nil {
		line += fmt.Sprintf("   half-open %d   drops %d", *q.HalfOpen, *q.Drops)
	}
	fmt.Fprintln(w, s.Dim(line))
}

// wrap breaks a text into lines of the terminal's width, at most 100, the first
// after a head and the others below it.
func wrap(s terminal.Style, head, text string) string {
	if s.ASCII {
		text = strings.ReplaceAll(text, "µ", "u")
	}
	width := terminal.Cells(head)
	lines := terminal.Wrap(text, min(s.Width, 100)-width)
	return head + strings.Join(lines, "\n"+strings.Repeat(" ", width))
}

// duration rounds to three digits or so.
func duration(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit*10 {
			return d.Round(unit / 10)
		}
	}
	return d
}
