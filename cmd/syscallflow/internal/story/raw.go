package story

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"onconn/cmd/syscallflow/internal/recording"
)

// Raw is a call in strace's grammar.
func Raw(c *recording.Call) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s(%s)", c.PID, c.Name, text(c))
	switch {
	case c.End == 0:
		b.WriteString(" = ?")
	case c.Errno != "":
		fmt.Fprintf(&b, " = -1 %s", c.Errno)
	default:
		fmt.Fprintf(&b, " = %d", c.Return)
	}
	if c.End >= c.Begin && c.End != 0 {
		fmt.Fprintf(&b, " <%.6f>", float64(c.End-c.Begin)/1e9)
	}
	return b.String()
}

// text is the arguments of a call.
func text(c *recording.Call) string {
	texts := make([]string, len(c.Args))
	for i, a := range c.Args {
		texts[i] = a.Text
	}
	return strings.Join(texts, ", ")
}

// arg is an argument by name, or by its place.
func arg(c *recording.Call, name string, place int) string {
	for _, a := range c.Args {
		if a.Name == name {
			return a.Text
		}
	}
	if place < len(c.Args) {
		return c.Args[place].Text
	}
	return "?"
}

// outcome is what a call gave: a descriptor or an error.
func outcome(c *recording.Call) string {
	switch {
	case c.Errno != "":
		return c.Errno
	case c.New != nil:
		return fmt.Sprintf("= %d", c.New.Number)
	}
	return fmt.Sprintf("= %d", c.Return)
}

// excerpt says what bytes are, in a few words: "GET / 78 B", "200 OK 17 B".
func excerpt(data []byte, size int) string {
	size = max(size, len(data))
	if size == 0 {
		return ""
	}
	line, _, _ := bytes.Cut(data, []byte("\r\n"))
	words := strings.Fields(string(line))
	head := ""
	switch {
	case len(words) >= 2 && strings.HasPrefix(words[0], "HTTP/"):
		head = strings.Join(words[1:], " ")
	case len(words) == 3 && strings.HasPrefix(words[2], "HTTP/"):
		head = words[0] + " " + words[1]
	case len(data) > 0:
		line, _, _ = bytes.Cut(data, []byte("\n"))
		head = strconv.Quote(string(line[:min(len(line), 12)]))
	}
	if r := []rune(head); len(r) > 24 {
		head = string(r[:23]) + "…"
	}
	return strings.TrimSpace(head + " " + bytesOf(size))
}

func bytesOf(n int) string {
	if n < 10_000 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d KiB", n/1024)
}
