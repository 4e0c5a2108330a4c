package view

import (
	"fmt"
	"io"
	"strings"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

// Details writes all that is known about each listener, and the settings that
// govern them.
func Details(w io.Writer, r *survey.Report, s terminal.Style) {
	for i := range r.Listeners {
		d := details{w, s}
		d.listener(&r.Listeners[i], r)
	}
	for _, n := range r.Namespaces {
		details{w, s}.settings(n)
	}
}

type details struct {
	w io.Writer
	s terminal.Style
}

// item writes a line, or more, under a name.
func (d details) item(name, format string, args ...any) {
	Item(d.w, d.s, 2, 16, name, fmt.Sprintf(format, args...))
}

// Item writes a name at a margin, and beside it a text at an indent, in as many
// lines as it takes.
func Item(w io.Writer, s terminal.Style, margin, indent int, name, text string) {
	begin := strings.Repeat(" ", margin) + terminal.Pad(name, indent-margin)
	for _, line := range terminal.Wrap(terminal.Clean(text), s.Width-indent) {
		fmt.Fprintln(w, begin+line)
		begin = strings.Repeat(" ", indent)
	}
}

func (d details) listener(row *survey.Row, r *survey.Report) {
	title := fmt.Sprintf("%s %s", row.Proto, terminal.Clean(row.Local))
	if len(r.Namespaces) > 1 {
		title += " in netns " + terminal.Clean(row.Netns)
	}
	for _, line := range terminal.Wrap(title, d.s.Width) {
		fmt.Fprintln(d.w, d.s.Bold(line))
	}
	worst := row.Worst()
	d.item("accept queue", "%d of %d places taken (limit %d, and one more)", worst.Depth, worst.Capacity, worst.Limit)
	if r.Sampled > 0 {
		d.item("", "peak %d; full %s, for %s; not shortened for %s at most", row.Peak,
			words.Count(row.Fulls, "time"), words.Duration(row.Full), words.Duration(row.Stall))
	}
	if row.Port != 0 {
		d.item("refused", "%d since the socket was made, %d of them during this look (packets, not clients)", row.Drops, row.Dropped)
		d.item("SYN queue", "%s on port %d", words.Count(row.HalfOpen, "unfinished handshake"), row.Port)
	}
	if row.Arrivals != nil {
		d.item("connections", "%s/s arrive, %s/s are accepted", words.Rate(*row.Arrivals), words.Rate(*row.Accepts))
	}
	d.hurt(row)
	d.waiters(row)
	d.owners(row)
	for _, m := range row.Members {
		d.item("socket", "inode %d: %d of %d places taken, peak %d, %d refused%s", m.Inode, m.Depth, m.Capacity, m.Peak, m.Drops, heldBy(&m, d.s))
	}
}

func heldBy(m *survey.Row, s terminal.Style) string {
	if len(m.Owners) == 0 {
		return ""
	}
	return ", " + Processes(m, s, true)
}

func (d details) hurt(row *survey.Row) {
	h := row.Hurt
	if h == nil {
		return
	}
	about := ""
	if h.How == "estimated" && h.Clients > 0 {
		about = "about "
	}
	d.item("outside", "%s%s (%s)", about, words.Count(h.Clients, "client"), h.How)
	for _, c := range h.Worst {
		d.item("", "%s: %s, %s, for %s or more", c.Addr, c.Path, tries(c.Tries), words.Duration(c.Waits))
	}
}

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

func (d details) waiters(row *survey.Row) {
	name := "in the queue"
	for _, c := range row.Waiters {
		state := ""
		if c.GivenUp {
			state = ", closed by the client already"
		}
		d.item(name, "%s for %s, %s unread%s", c.Addr, words.Duration(c.Waits), words.Bytes(int64(c.Bytes)), state)
		name = ""
	}
	if more := row.Worst().Depth - len(row.Waiters); len(row.Waiters) > 0 && more > 0 {
		d.item("", "and %d more", more)
	}
	if row.BytesWaiting > 0 {
		d.item("unread", "%s in all, which counts for no process or cgroup until accept", words.Bytes(int64(row.BytesWaiting)))
	}
}

func (d details) owners(row *survey.Row) {
	name := "held by"
	for _, o := range row.Owners {
		text := fmt.Sprintf("%s[%d] fd %d", o.Command, o.PID, o.FD)
		if o.Unit != "" {
			text += ", unit " + o.Unit
		}
		if o.Container != "" {
			text += ", container " + o.Container
		}
		if o.Stopped {
			text += ", stopped"
		}
		switch {
		case o.Accepts != nil:
			text += fmt.Sprintf(": accepts %s/s", words.Rate(*o.Accepts))
		case o.Share != nil:
			text += fmt.Sprintf(": holds %s of the connections", words.Percent(*o.Share))
		}
		d.item(name, "%s", text)
		name = ""
	}
}

// settings says what each setting does, which is not what is said of most.
func (d details) settings(n survey.Namespace) {
	fmt.Fprintln(d.w, d.s.Bold("settings of netns "+terminal.Clean(n.Name)))
	c := n.Sysctls
	d.setting("net.core.somaxconn", c.Somaxconn, "caps what listen(2) grants, at the call; listeners that exist keep what they have")
	d.setting("net.ipv4.tcp_syncookies", c.SynCookies, cookies(c))
	d.setting("net.ipv4.tcp_max_syn_backlog", c.MaxSynBacklog, synBacklog(c))
	d.setting("net.ipv4.tcp_abort_on_overflow", c.AbortOnOverflow, abort(c))
	d.setting("net.ipv4.tcp_synack_retries", c.SynackRetries, "how often a SYN-ACK is sent again; 5 keep a handshake for about 63 s")
}

func (d details) setting(name string, value int, does string) {
	if value < 0 {
		does, name = "", name+" is unknown: this kernel lacks it, or hides it"
	} else {
		name = fmt.Sprintf("%s = %d", name, value)
	}
	for i, line := range terminal.Wrap(name+": "+does, d.s.Width-4) {
		fmt.Fprintln(d.w, []string{"  ", "    "}[min(i, 1)]+strings.TrimSuffix(line, ":"))
	}
}

func cookies(c backlog.Sysctls) string {
	switch c.SynCookies {
	case 0:
		return "a SYN that finds the SYN queue full is dropped"
	case 2:
		return "every SYN is answered with a cookie, and the SYN queue stays empty"
	}
	return "a SYN that finds the SYN queue full is answered with a cookie"
}

func synBacklog(c backlog.Sysctls) string {
	if c.SynCookies == 0 {
		return "limits unfinished handshakes to three quarters of it, as tcp_syncookies is 0"
	}
	return "has no effect while tcp_syncookies isn't 0: the backlog limits the SYN queue too"
}

func abort(c backlog.Sysctls) string {
	if c.AbortOnOverflow == 1 {
		return "a final ACK that finds the accept queue full is answered with a reset; a SYN is dropped in silence"
	}
	return "what finds the accept queue full is dropped in silence"
}
