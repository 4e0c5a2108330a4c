package compare

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
	"onconn/internal/terminal"
)

// Write prints both side by side, and says in sentences what differs.
func Write(w io.Writer, a, b *recording.Recording, style terminal.Style) error {
	style.Width = max(style.Width, 60)
	t := &table{style: style, w: bufio.NewWriter(w)}
	t.profiles = [2]*Profile{Of(a), Of(b)}
	t.head()
	t.serving()
	t.setup()
	t.differences()
	for i, p := range t.profiles {
		t.line("")
		for _, f := range p.Findings {
			t.wrap(letter(i)+" ", f.Text)
		}
	}
	return t.w.Flush()
}

type table struct {
	style    terminal.Style
	w        *bufio.Writer
	profiles [2]*Profile
}

// Columns: the name of a call, and three figures of each program.
const (
	nameCells   = 16
	figureCells = 9
)

func letter(i int) string { return string(rune('A' + i)) }

func (t *table) line(text string) {
	if t.style.ASCII {
		text = strings.NewReplacer("×", "x", "–", "-", "µ", "u", "…", "~", "→", "->").Replace(text)
	}
	t.w.WriteString(strings.TrimRight(t.style.Cut(text, t.style.Width), " ") + "\n")
}

func (t *table) wrap(head, text string) {
	text = terminal.Clean(text)
	for i, l := range terminal.Wrap(text, t.style.Width-len(head)) {
		if i > 0 {
			head = strings.Repeat(" ", len(head))
		}
		t.line(head + l)
	}
}

func (t *table) head() {
	for i, p := range t.profiles {
		t.line(t.style.Bold(fmt.Sprintf("%s  %s", letter(i), terminal.Clean(p.Name))))
	}
	t.line("")
	row := func(name string, figure func(*Profile) string) {
		text := terminal.Pad(name, nameCells+4)
		for _, p := range t.profiles {
			text += terminal.Pad(figure(p), -figureCells)
		}
		t.line(text)
	}
	row("", func(p *Profile) string {
		if p == t.profiles[0] {
			return "A"
		}
		return "B"
	})
	row("connections", func(p *Profile) string { return fmt.Sprint(p.Connections) })
	row("calls for each", func(p *Profile) string { return per(p.Calls(), p.Connections) })
	row("listeners", func(p *Profile) string { return fmt.Sprint(p.Listeners) })
	row("backlog", func(p *Profile) string { return fmt.Sprint(p.Backlog) })
	row("accept to write*", func(p *Profile) string {
		if p.Wait == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f ms", float64(p.Wait)/1e6)
	})
	t.line(t.style.Dim("* the median, while being traced: without that it is less"))
}

// serving is the table of calls for each connection, by who makes them.
func (t *table) serving() {
	t.line("")
	t.line("Calls for each connection:")
	head, program := terminal.Pad("", nameCells), terminal.Pad("", nameCells)
	for i := range t.profiles {
		program += terminal.Pad(letter(i), -3*figureCells)
		for _, name := range []string{"primary", "worker", "all"} {
			head += terminal.Pad(name, -figureCells)
		}
	}
	t.line(t.style.Bold(program))
	t.line(t.style.Dim(head))
	for _, name := range t.names(func(p *Profile, name string) float64 {
		return float64(p.Serving[name].total()) / float64(max(p.Connections, 1))
	}, func(p *Profile) []string { return keys(p.Serving) }) {
		row := terminal.Pad(terminal.Clean(name), nameCells)
		for _, p := range t.profiles {
			c := p.Serving[name]
			for _, n := range []int{c.Primary, c.Worker, c.total()} {
				row += terminal.Pad(per(n, p.Connections), -figureCells)
			}
		}
		t.line(row + "  " + only(t.profiles[0].Serving[name].total(), t.profiles[1].Serving[name].total()))
	}
}

// only marks what one of them has and the other hasn't.
func only(a, b int) string {
	switch {
	case a > 0 && b == 0:
		return "only A"
	case b > 0 && a == 0:
		return "only B"
	}
	return ""
}

func (t *table) setup() {
	t.line("")
	t.line("Calls about listeners:")
	for _, name := range t.names(func(p *Profile, name string) float64 { return float64(p.Setup[name]) },
		func(p *Profile) []string { return keys(p.Setup) }) {
		row := terminal.Pad(terminal.Clean(name), nameCells+4)
		for _, p := range t.profiles {
			row += terminal.Pad(count(p.Setup[name]), -figureCells)
		}
		t.line(row + "  " + only(t.profiles[0].Setup[name], t.profiles[1].Setup[name]))
	}
}

// names are the calls of both, the most frequent first.
func (t *table) names(weight func(*Profile, string) float64, of func(*Profile) []string) []string {
	var names []string
	for _, p := range t.profiles {
		for _, name := range of(p) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	heavy := func(name string) float64 { return max(weight(t.profiles[0], name), weight(t.profiles[1], name)) }
	slices.SortFunc(names, func(x, y string) int {
		if d := heavy(y) - heavy(x); d != 0 {
			if d > 0 {
				return 1
			}
			return -1
		}
		return strings.Compare(x, y)
	})
	return names
}

func keys[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func per(n, connections int) string {
	if n == 0 || connections == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", float64(n)/float64(connections))
}

func count(n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprint(n)
}

// differences says what the tables mean.
func (t *table) differences() {
	var said []string
	say := func(format string, values ...any) { said = append(said, fmt.Sprintf(format, values...)) }
	a, b := t.profiles[0], t.profiles[1]
	if a.Connections == 0 || b.Connections == 0 {
		for i, p := range t.profiles {
			if p.Connections == 0 {
				say("%s accepted no connection, so there is nothing to divide by.", letter(i))
			}
		}
	} else if x, y := float64(a.Calls())/float64(a.Connections), float64(b.Calls())/float64(b.Connections); x > 1.1*y {
		say("A makes %.1f times the calls of B for a connection.", x/max(y, 1))
	} else if y > 1.1*x {
		say("B makes %.1f times the calls of A for a connection.", y/max(x, 1))
	}
	for i, p := range t.profiles {
		q, other := t.profiles[1-i], letter(1-i)
		if p.Handed > 0 && q.Handed == 0 {
			say("%s accepts in one process and passes connections on by SCM_RIGHTS: sendmsg and recvmsg besides accept, and a close in each. %s doesn't.", letter(i), other)
		}
		if p.Shared && !q.Shared {
			say("In %s several processes accept, in %s one.", letter(i), other)
		}
		if p.Listeners > 1 && q.Listeners == 1 {
			say("%s has %d listeners, so as many queues; %s has one.", letter(i), p.Listeners, other)
		}
		if p.Empty > 0 && q.Empty == 0 {
			say("%s found its queue empty %d times (EAGAIN), %s never.", letter(i), p.Empty, other)
		}
		if p.Backlog > q.Backlog && q.Backlog > 0 {
			say("%s lets %d connections wait for accept, %s %d.", letter(i), p.Backlog+1, other, q.Backlog+1)
		}
	}
	t.line("")
	if len(said) == 0 {
		said = []string{"They do the same, as far as these tables tell."}
	}
	for _, s := range said {
		t.wrap("", s)
	}
}
