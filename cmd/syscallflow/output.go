package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/cmd/syscallflow/internal/draw"
	"onconn/cmd/syscallflow/internal/export"
	"onconn/cmd/syscallflow/internal/recording"
	"onconn/cmd/syscallflow/internal/story"
	"onconn/internal/cli"
	"onconn/internal/terminal"
)

// outputFlags say how a recording is shown.
type outputFlags struct {
	html    string
	trace   string
	pcapng  string
	mermaid bool
	calls   bool
	json    bool
	verbose bool
	look    lookFlags
}

// lookFlags say what the reader of a text can see.
type lookFlags struct {
	colour string
	ascii  bool
	width  int
}

func (f *lookFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.colour, "color", "auto", "auto, always or never")
	flags.BoolVar(&f.ascii, "ascii", false, "draw with ASCII characters only")
	flags.IntVar(&f.width, "width", 0, "columns; 0 is the terminal's, or 80")
}

func (f *lookFlags) style(w io.Writer) (terminal.Style, error) {
	if f.width != 0 && f.width < 40 {
		return terminal.Style{}, cli.Usage(fmt.Errorf("--width %d: a drawing needs 40 columns", f.width))
	}
	s, err := terminal.ForWriter(w, f.colour, f.ascii)
	if err != nil {
		return s, cli.Usage(err)
	}
	if f.width > 0 {
		s.Width = f.width
	}
	return s, nil
}

func (f *outputFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.html, "html", "", "write a page with the drawing, to be stepped through, to this file")
	flags.BoolVar(&f.mermaid, "mermaid", false, "print a Mermaid sequence diagram, for documents")
	flags.BoolVar(&f.calls, "calls", false, "print every call and packet in a line, as strace and tcpdump do")
	flags.BoolVarP(&f.json, "json", "j", false, "print the recording as JSON")
	flags.StringVar(&f.trace, "trace", "", "write a trace for Perfetto or chrome://tracing to this file")
	flags.StringVar(&f.pcapng, "pcapng", "", "write the packets for Wireshark to this file")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "every call and packet, nothing folded")
	f.look.add(cmd)
}

// check finds what is wrong with the flags before anything is recorded, which would be
// lost.
func (f *outputFlags) check(w io.Writer) (terminal.Style, error) {
	if f.mermaid && f.json || f.mermaid && f.calls || f.json && f.calls {
		return terminal.Style{}, cli.Usage(errors.New("--mermaid, --calls and --json each print: choose one"))
	}
	if err := writable(f.html, f.trace, f.pcapng); err != nil {
		return terminal.Style{}, err
	}
	return f.look.style(w)
}

// show prints and writes what was asked for: the drawing, if nothing else was.
func (f *outputFlags) show(w io.Writer, style terminal.Style, r *recording.Recording) error {
	s := story.Tell(r, story.Options{Verbose: f.verbose || f.calls})
	if f.html != "" {
		if err := toFile(f.html, func(w io.Writer) error { return draw.HTML(w, s) }); err != nil {
			return err
		}
	}
	if f.trace != "" {
		if err := toFile(f.trace, func(w io.Writer) error { return export.ChromeTrace(w, r) }); err != nil {
			return err
		}
	}
	if f.pcapng != "" {
		packets := 0
		err := toFile(f.pcapng, func(w io.Writer) (err error) {
			packets, err = export.PcapNG(w, r)
			return err
		})
		if err != nil {
			return err
		}
		if packets == 0 {
			fmt.Fprintf(os.Stderr, "syscallflow: %s has no packets: none were captured\n", f.pcapng)
		}
	}
	switch {
	case f.json:
		return r.Write(w)
	case f.calls:
		return draw.List(w, s, style)
	case f.mermaid:
		return draw.Mermaid(w, s)
	case f.html != "" || f.trace != "" || f.pcapng != "":
		return nil
	}
	return draw.Text(w, s, style)
}

// writable reports which of the files can't be written, those without a name left out.
func writable(files ...string) error {
	for _, name := range files {
		if name == "" {
			continue
		}
		place := name
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			place = filepath.Dir(name)
		}
		if err := unix.Access(place, unix.W_OK); err != nil {
			return &os.PathError{Op: "write", Path: name, Err: err}
		}
	}
	return nil
}

// toFile writes a file, and reports what went wrong at its end too.
func toFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// readRecording reads a recording; "-" is standard input.
func readRecording(name string) (*recording.Recording, error) {
	if name == "-" {
		return recording.Read(os.Stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := recording.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}
