package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/lesson"
	"onconn/internal/cli"
	"onconn/internal/terminal"
)

type lessonFlags struct {
	html    string
	json    bool
	answers bool
	noPause bool
	look    lookFlags
}

func newLesson() *cobra.Command {
	var f lessonFlags
	cmd := &cobra.Command{
		Use:   "lesson [N]",
		Short: "A guided course: how servers really accept, seen on this machine",
		Long: `lesson alone lists the lessons; lesson N runs one: a server on the loopback, what was
recorded of it, and what it means. Figures are measured in that run; where this machine
behaves otherwise than the text, the lesson says so. It needs no privilege; root or
CAP_NET_RAW adds the packets.`,
		Example: `  syscallflow lesson
  syscallflow lesson 1
  syscallflow lesson 3 --answers
  syscallflow lesson 5 --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return cli.Usage(errors.New("one lesson at a time: syscallflow lesson N"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return f.list(cmd.OutOrStdout())
			}
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 || n > lesson.Most {
				return cli.Usage(fmt.Errorf("there is no lesson %q: they are 1 to %d", args[0], lesson.Most))
			}
			return f.run(cmd, n)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.html, "html", "", "write a page with the drawing and what was measured to this file")
	flags.BoolVarP(&f.json, "json", "j", false, "print what was measured as JSON")
	flags.BoolVar(&f.answers, "answers", false, "with the answer to the question to think about")
	flags.BoolVar(&f.noPause, "no-pause", false, "don't wait for Enter between the parts, as on a terminal")
	f.look.add(cmd)
	flags.SortFlags = false
	return cmd
}

func (f *lessonFlags) list(w io.Writer) error {
	for i, l := range lesson.All() {
		if _, err := fmt.Fprintf(w, "%d  %s\n", i+1, l.Title); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, "\nsyscallflow lesson N runs one.")
	return err
}

func (f *lessonFlags) run(cmd *cobra.Command, n int) error {
	out := cmd.OutOrStdout()
	style, err := f.look.style(out)
	if err != nil {
		return err
	}
	if err := writable(f.html); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	progress := terminal.NewProgress(os.Stderr)
	progress.Set(-1, fmt.Sprintf("lesson %d runs: some seconds", n))
	run, err := lesson.Do(ctx, n)
	progress.Done()
	interrupted := ctx.Err() != nil
	stop() // from now on Ctrl-C ends us at once, in a pause too
	if err != nil && interrupted {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	if f.html != "" {
		if err := toFile(f.html, run.HTML); err != nil {
			return err
		}
	}
	switch {
	case f.json:
		return run.JSON(out)
	case f.html != "":
		return nil
	}
	w := &lesson.Writer{W: out, Style: style, Answers: f.answers}
	if !f.noPause && terminal.IsTerminal(out) && terminal.IsTerminal(os.Stdin) {
		w.Pause = pause(os.Stdin, os.Stderr)
	}
	return w.Write(run)
}

// pause waits for Enter.
func pause(in io.Reader, out io.Writer) func() {
	lines := bufio.NewReader(in)
	return func() {
		fmt.Fprint(out, "\nEnter goes on ")
		lines.ReadString('\n')
	}
}
