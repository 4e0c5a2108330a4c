package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/glossary"
	"onconn/cmd/backlogprobe/internal/handshake"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/terminal"
)

// explainFlags are those of explain.
type explainFlags struct {
	live    string
	span    time.Duration
	all     bool
	verbose bool
	list    bool

	common
	space string // the file of the network namespace; empty: ours
	style terminal.Style
}

func newExplain() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain FILE.pcap... | --live IFACE|any [:PORT...] | NAME...",
		Short: "What became of each handshake in a capture, or what a counter means",
		Long: `Say what became of each attempt to connect, how sure that is and why: from
pcap or pcapng files (also gzipped; - is standard input), or from the network
of this host, with the depth of the accept queue at each SYN (needs
CAP_NET_RAW). Or explain a counter, a sysctl or a word, offline.`,
		Example: `  backlogprobe explain customer.pcap
  backlogprobe explain --live any --for 10s :8080
  backlogprobe explain ListenOverflows somaxconn`,
	}
	cmd.Flags().StringVar(&f.live, "live", "", "capture from an interface, or any")
	cmd.Flags().DurationVar(&f.span, "for", 0, "end a live capture after so long (default: Ctrl-C)")
	cmd.Flags().BoolVarP(&f.all, "all", "a", false, "show all attempts, not only the worst 20")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show rules and packets")
	cmd.Flags().BoolVar(&f.list, "list", false, "list the names that explain knows")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		f.common = commonFlags(cmd)
		if f.style, err = f.common.style(cmd.OutOrStdout()); err != nil {
			return err
		}
		switch {
		case f.allNetns || len(f.netns) > 1:
			return usage("explain captures in one namespace: give one --netns")
		case len(f.netns) == 1:
			f.space = survey.NetnsPath(f.netns[0])
		}
		return explain(cmd, f, args)
	}
	return cmd
}

func explain(cmd *cobra.Command, f explainFlags, args []string) error {
	switch {
	case f.live != "":
		return explainLive(cmd, f, args)
	case f.span != 0:
		return usage("--for needs --live")
	case f.list:
		return glossary.List(cmd.OutOrStdout(), f.style, f.json)
	case len(args) == 0:
		return usage("explain what? A capture file, a name (--list shows them), or --live IFACE")
	case isFile(args[0]):
		return explainFiles(cmd, f, args)
	}
	for i, name := range args {
		if i > 0 && !f.json {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := glossary.Print(cmd.OutOrStdout(), f.style, f.json, name); err != nil {
			return err
		}
	}
	return nil
}

// isFile tells a capture file from a name of the glossary.
func isFile(arg string) bool {
	if arg == "-" || strings.Contains(arg, "/") {
		return true
	}
	for _, suffix := range []string{".pcap", ".pcapng", ".cap", ".gz"} {
		if strings.HasSuffix(strings.ToLower(arg), suffix) {
			return true
		}
	}
	if _, known := glossary.Find(arg); known {
		return false
	}
	info, err := os.Stat(arg)
	return err == nil && !info.IsDir()
}

func explainFiles(cmd *cobra.Command, f explainFlags, files []string) error {
	out := cmd.OutOrStdout()
	for i, file := range files {
		bar := f.progress()
		r, incomplete, err := handshake.ReadFile(file, f.config(), func(done float64) {
			bar.Set(done, "reading "+terminal.Clean(file))
		})
		bar.Done()
		if errors.Is(err, fs.ErrNotExist) && len(files) == 1 {
			return fmt.Errorf("%w (explain --list shows the names that need no file)", err)
		}
		if err != nil {
			return err
		}
		if f.json {
			err = writeDocument(cmd, document(file, incomplete, 0, r))
		} else {
			if len(files) > 1 {
				if i > 0 {
					fmt.Fprintln(out)
				}
				fmt.Fprintln(out, f.style.Bold(terminal.Clean(file)))
			}
			f.printer(cmd).Print(r)
			if incomplete != "" {
				fmt.Fprintln(out, f.style.Warn(incomplete))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepAll bounds what -a can show.
const keepAll = 100_000

func (f explainFlags) config() handshake.Config {
	c := handshake.Config{Packets: f.verbose}
	if f.all {
		c.Keep = keepAll
	}
	return c
}

func (f explainFlags) printer(cmd *cobra.Command) handshake.Printer {
	p := handshake.Printer{W: cmd.OutOrStdout(), Style: f.style, Verbose: f.verbose, Most: 20}
	if f.all {
		p.Most = 0
	}
	return p
}

func document(source, incomplete string, missed uint64, r handshake.Result) handshake.Document {
	d := handshake.Document{Schema: handshake.Schema, Source: source, Incomplete: incomplete,
		PacketsMissed: missed, Totals: r.Totals.Doc()}
	for _, a := range r.Attempts {
		d.Attempts = append(d.Attempts, a.Doc())
	}
	return d
}

func writeDocument(cmd *cobra.Command, d handshake.Document) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetEscapeHTML(false)
	return e.Encode(d)
}
