package handshake

import (
	"fmt"
	"io"
	"strings"
	"time"

	"onconn/internal/capture"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// A Printer writes results for people.
type Printer struct {
	W       io.Writer
	Style   terminal.Style
	Most    int  // attempts; 0: all
	Verbose bool // rules and packets
}

// Print writes the attempts, the worst first, and the totals.
func (p Printer) Print(r Result) {
	short := oneServer(r.Attempts)
	shown := 0
	for _, a := range r.Attempts {
		if p.Most > 0 && shown == p.Most {
			break
		}
		p.attempt(a, short)
		shown++
	}
	if left := r.Totals.Attempts - shown; left > 0 && shown > 0 {
		how := "-a shows them"
		if p.Most == 0 || len(r.Attempts) < r.Totals.Attempts && shown == len(r.Attempts) {
			how = "beyond what is kept"
		}
		fmt.Fprintln(p.W, p.Style.Dim(fmt.Sprintf("  (%s less bad: %s)", count(left, "attempt"), how)))
	}
	p.totals(r)
}

// oneServer reports whether all attempts are with one server address.
func oneServer(all []*Attempt) bool {
	for _, a := range all {
		if a.Server.Addr() != all[0].Server.Addr() {
			return false
		}
	}
	return true
}

func (p Printer) symbol(unicode, ascii string) string {
	if p.Style.ASCII {
		return ascii
	}
	return unicode
}

func (p Printer) attempt(a *Attempt, short bool) {
	server := a.Server.String()
	if short {
		server = fmt.Sprintf(":%d", a.Server.Port())
	}
	p.item(p.mark(a)+" ", fmt.Sprintf("%v %s %s: %s", a.Client, p.symbol("→", "->"), server, a.timeline(p.symbol("…", "..."))))
	if a.anyDepth() && a.Verdict.Kind != Connected {
		p.item("    ", "accept queue then "+a.depths())
	}
	if a.Verdict.Kind != Connected {
		p.item("    "+p.symbol("⇒", "=>")+" ", p.paint(a, string(a.Verdict.Certainty))+": "+a.Verdict.Text)
	}
	for _, n := range a.Notes {
		p.item("    "+p.symbol("·", "-")+" ", n)
	}
	if !p.Verbose {
		return
	}
	fmt.Fprintln(p.W, p.Style.Dim(fmt.Sprintf("    rules: %s; captured near: %v", strings.Join(a.Verdict.Rules, ", "), a.Near)))
	for _, s := range a.Packets {
		fmt.Fprintln(p.W, p.Style.Dim("    "+s.line(a.Start)))
	}
	if len(a.Packets) == maxShown {
		fmt.Fprintln(p.W, p.Style.Dim(fmt.Sprintf("    (the first %d packets)", maxShown)))
	}
}

// item writes a text behind its head, in lines no wider than the terminal.
func (p Printer) item(head, text string) {
	width := terminal.Cells(head)
	for i, line := range terminal.Wrap(text, max(p.Style.Width-width, 20)) {
		if i > 0 {
			head = strings.Repeat(" ", width)
		}
		fmt.Fprintln(p.W, head+line)
	}
}

// state is how bad an attempt went.
func (a *Attempt) state() terminal.State {
	switch a.Verdict.Kind {
	case ACKRefused, SYNUnanswered, DataIgnored, ResetAfterACK:
		return terminal.Critical
	case ClosedPort, AnsweredLate, NeverFinished:
		return terminal.Warning
	case OneWay, Unfinished:
		return terminal.Unknown
	}
	return terminal.OK
}

func (p Printer) mark(a *Attempt) string { return p.Style.Mark(a.state()) }

func (p Printer) paint(a *Attempt, text string) string { return p.Style.Paint(a.state(), text) }

// timeline is what was sent when, in seconds since the first packet.
func (a *Attempt) timeline(more string) string {
	var b strings.Builder
	times := func(what string, s Sent) {
		if s.N == 0 {
			return
		}
		b.WriteString(", " + what)
		const most = 8
		for i, t := range s.Times {
			if i == most && s.N > most+1 {
				b.WriteString(" " + more + " " + seconds(s.Last.Sub(a.Start)))
				break
			}
			b.WriteString(" " + seconds(t.Sub(a.Start)))
		}
		if s.N > 1 {
			fmt.Fprintf(&b, " (%d times)", s.N)
		}
	}
	one := func(what string, t time.Time) {
		if !t.IsZero() {
			fmt.Fprintf(&b, ", %s %s", what, seconds(t.Sub(a.Start)))
		}
	}
	times("SYN", a.SYNs)
	times("SYN-ACK", a.SYNACKs)
	one("ACK", a.ACK)
	one("data", a.Data)
	if a.Resent > 0 {
		fmt.Fprintf(&b, " (again %d times)", a.Resent)
	}
	if a.Verdict.Kind != Connected {
		one("answer", a.Reply)
	}
	one([...]string{"", "client's RST", "server's RST"}[a.ResetBy], a.Reset)
	return strings.TrimPrefix(b.String(), ", ")
}

func (a *Attempt) depths() string {
	var b strings.Builder
	for i, d := range a.Depths {
		if i > 0 {
			b.WriteString(" ")
		}
		if d.Members == 0 {
			b.WriteString("?")
		} else {
			fmt.Fprintf(&b, "%d/%d", d.Depth, d.Capacity())
		}
	}
	return b.String()
}

func (s Segment) line(start time.Time) string {
	who := "server"
	if s.FromClient {
		who = "client"
	}
	text := fmt.Sprintf("%10.6f  %s  %-8s seq %d", s.Time.Sub(start).Seconds(), who, flagNames(s.Flags), s.Seq)
	if s.Flags&capture.ACK != 0 {
		text += fmt.Sprintf(" ack %d", s.Ack)
	}
	if s.Payload > 0 {
		text += fmt.Sprintf(" %s", count(s.Payload, "byte"))
	}
	return text
}

func flagNames(f capture.Flags) string {
	var all []string
	for _, n := range []struct {
		bit  capture.Flags
		name string
	}{{capture.SYN, "SYN"}, {capture.FIN, "FIN"}, {capture.RST, "RST"}, {capture.ACK, "ACK"}} {
		if f&n.bit != 0 {
			all = append(all, n.name)
		}
	}
	return strings.Join(all, ",")
}

// seconds is a time with as many digits as it is worth.
func seconds(d time.Duration) string {
	if d >= 100*time.Second {
		return fmt.Sprintf("%.1f", d.Seconds())
	}
	if d > 0 && d < time.Millisecond {
		return fmt.Sprintf("%.6f", d.Seconds())
	}
	return fmt.Sprintf("%.3f", d.Seconds())
}

func (p Printer) totals(r Result) {
	t := r.Totals
	if t.Attempts == 0 {
		fmt.Fprintln(p.W, "no attempt to connect: no SYN in it")
	} else {
		var kinds []string
		for _, k := range Kinds {
			if n := t.Kinds[k]; n > 0 {
				kinds = append(kinds, fmt.Sprintf("%d %s", n, strings.NewReplacer("-", " ", "syn", "SYN", "ack", "ACK").Replace(string(k))))
			}
		}
		clients := count(t.Clients, "client")
		if t.Clients == 0 {
			clients = "clients unseen"
		}
		fmt.Fprintf(p.W, "%s, %s: %s\n", count(t.Attempts, "attempt"), clients, strings.Join(kinds, ", "))
	}
	fmt.Fprintf(p.W, "%s, %d of TCP, in %s; %s", count(t.Packets, "packet"), t.Segments, words.Duration(t.End.Sub(t.Start)), count(t.SYNs, "SYN"))
	if t.Before > 0 {
		fmt.Fprintf(p.W, "; %s begun before", count(t.Before, "connection"))
	}
	if t.Copies > 0 {
		fmt.Fprintf(p.W, "; %d captured twice", t.Copies)
	}
	fmt.Fprintln(p.W)
}
