package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/cli"
	"onconn/internal/terminal"
)

// common are the flags that every command has.
type common struct {
	json     bool
	colour   string
	ascii    bool
	netns    []string
	allNetns bool
	quiet    bool
}

func addCommonFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.BoolP("json", "j", false, "print JSON; one object a line when repeating")
	f.String("color", "auto", "auto, always or never")
	f.Bool("ascii", false, "draw with ASCII characters only")
	f.StringArrayP("netns", "N", nil, "network namespace: a name of ip netns, a path, or a PID")
	f.Bool("all-netns", false, "every network namespace, containers too")
	f.BoolP("quiet", "q", false, "no advice, no progress")
	f.SortFlags = false
}

// commonFlags reads them. A command that runs without its root has the defaults.
func commonFlags(cmd *cobra.Command) (c common) {
	f := cmd.Flags()
	c.json, _ = f.GetBool("json")
	c.colour, _ = f.GetString("color")
	c.ascii, _ = f.GetBool("ascii")
	c.netns, _ = f.GetStringArray("netns")
	c.allNetns, _ = f.GetBool("all-netns")
	c.quiet, _ = f.GetBool("quiet")
	return c
}

// style is what the reader of w can see.
func (c common) style(w io.Writer) (terminal.Style, error) {
	s, err := terminal.ForWriter(w, c.colour, c.ascii)
	if err != nil {
		return s, cli.Usage(err)
	}
	return s, nil
}

// prose is where explanations go: after the data for a person, aside for a pipe.
func prose() *os.File {
	if terminal.IsTerminal(os.Stdout) {
		return os.Stdout
	}
	return os.Stderr
}

// progress tells how far a long look is; nothing where nobody wants to see it.
func (c common) progress() *terminal.Progress {
	if c.quiet {
		return terminal.NewProgress(io.Discard)
	}
	return terminal.NewProgress(os.Stderr)
}

// survey opens one over the namespaces that were asked for.
func (c common) survey(o survey.Options) (*survey.Survey, error) {
	o.Netns, o.AllNetns = c.netns, c.allNetns
	return survey.Open(o)
}

// parseFilter reads the words of a filter.
func parseFilter(words []string) (survey.Filter, error) {
	f, err := survey.ParseFilter(words)
	if err != nil {
		return f, cli.Usage(err)
	}
	return f, nil
}

// writeJSON writes a value on a line of its own, or for a person indented.
func writeJSON(v any, indent bool) error {
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

// number reports whether a word is a plain number, such as an interval.
func number(word string) (float64, bool) {
	n, err := strconv.ParseFloat(word, 64)
	return n, err == nil && n >= 0
}

func usage(text string) error { return cli.Usage(errors.New(text)) }
