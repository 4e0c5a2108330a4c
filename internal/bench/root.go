package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"onconn/internal/bench/peer"
	"onconn/internal/cli"
)

// options are the flags.
type options struct {
	tables []string
	list   bool
	runs   int
	rounds int
	window time.Duration
	cpus   string
	write  string
	json   string
	smoke  bool
}

func newRoot() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   "bench",
		Short: "Measure what accepting connections costs, beside other servers",
		Long: `bench starts servers, gives them the same load in turns, and compares their CPU time
for a connection. Servers have one half of the CPUs, the client the other.`,
		Example: `  go run ./internal/bench                                   # everything, on standard output
  go run ./internal/bench --runs 3 --write BENCHMARKS.md    # three runs, into the document
  go run ./internal/bench --tables close,http --rounds 5    # some of it
  go run ./internal/bench --list                            # what there is, and what is missing
  go run ./internal/bench compare c-http './mine {addr}'    # beside a server of yours`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return cli.Usage(err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := root.Flags()
	f.StringSliceVar(&o.tables, "tables", nil, "only these tables (see --list)")
	f.BoolVar(&o.list, "list", false, "list tables and servers, and what this machine lacks")
	f.IntVar(&o.runs, "runs", 1, "repeat everything `N` times")
	f.IntVar(&o.rounds, "rounds", 11, "windows of each server in a run")
	f.DurationVar(&o.window, "window", 0, "length of a window (0: that of the table, 0.5s to 1s)")
	f.StringVar(&o.cpus, "cpus", "split", "split: servers on one half of the CPUs; all: everything on all")
	f.StringVar(&o.write, "write", "", "write the tables into `FILE`, between its markers")
	f.StringVar(&o.json, "json", "", "write every window into `FILE`")
	f.BoolVar(&o.smoke, "smoke", false, "only see that everything runs: short windows, few connections, no figures")
	root.AddCommand(newCompare())
	cli.Complete(root)
	return root
}

func (o *options) run(cmd *cobra.Command) error {
	chosen, err := o.choose()
	if err != nil {
		return cli.Usage(err)
	}
	if o.runs < 1 || o.rounds < 1 {
		return cli.Usage(errors.New("--runs and --rounds are at least 1"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{rounds: o.rounds, window: o.window, progress: progress}
	if o.smoke {
		b.rounds, b.window, b.idle, o.runs = 1, 50*time.Millisecond, 200, 1
	}
	if b.servers, b.clients, err = split(o.cpus); err != nil {
		return cli.Usage(err)
	}
	if err := b.get(ctx, chosen, dir); err != nil {
		return err
	}
	if o.list {
		b.list(cmd, chosen)
		return nil
	}
	var document string
	if o.write != "" { // that it can be written shows before, not after half an hour
		if document, err = o.document(chosen); err != nil {
			return err
		}
	}
	runs, broken := map[string][]*Run{}, 0
	b.expect(chosen, o.runs)
	for range o.runs {
		for _, t := range chosen {
			r, err := b.run(ctx, t)
			if err == nil && o.smoke {
				err = clean(t, r)
			}
			if err != nil {
				err = fmt.Errorf("table %s: %w", t.Name, err)
				if ctx.Err() != nil || o.smoke {
					fmt.Fprintln(os.Stderr)
					return err
				}
				b.progress("%v\n", err) // the others are measured all the same
				r.Broken = err.Error()
				broken++
			}
			runs[t.Name] = append(runs[t.Name], r)
		}
	}
	b.progress("")
	if o.json != "" {
		text, err := json.MarshalIndent(runs, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, text, 0o644); err != nil {
			return err
		}
	}
	if o.smoke {
		fmt.Fprintf(cmd.OutOrStdout(), "%d tables run; missing: %s\n", len(chosen), b.lacks())
		return nil
	}
	if err := o.output(cmd, chosen, runs, document); err != nil {
		return err
	}
	if broken > 0 {
		return fmt.Errorf("%d tables could not be measured; they say why", broken)
	}
	return nil
}

// output writes the tables into the document, or else on standard output.
func (o *options) output(cmd *cobra.Command, chosen []Table, runs map[string][]*Run, document string) (err error) {
	caption := machine(o.cpus)
	lines := verdicts(chosen, runs)
	if o.write == "" {
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s\n", caption, verdictTable(lines))
		for _, t := range chosen {
			fmt.Fprintln(cmd.OutOrStdout(), markdown(t, runs[t.Name]))
		}
		return nil
	}
	old, err := between(document, "verdicts")
	if err != nil {
		return err
	}
	texts := map[string]string{"verdicts": caption + "\n\n" + verdictTable(kept(old, lines))}
	for _, t := range chosen {
		texts[t.Name] = markdown(t, runs[t.Name]) + "\n" + when(o.rounds)
	}
	for name, text := range texts {
		if document, err = insert(document, name, text); err != nil {
			return fmt.Errorf("%s: %w", o.write, err)
		}
	}
	return os.WriteFile(o.write, []byte(document), 0o644)
}

// document is what is to be written to, which must have all the markers.
func (o *options) document(chosen []Table) (string, error) {
	text, err := os.ReadFile(o.write)
	if err != nil {
		return "", err
	}
	for _, name := range append([]string{"verdicts"}, names(chosen)...) {
		if _, err := insert(string(text), name, ""); err != nil {
			return "", fmt.Errorf("%s: %w", o.write, err)
		}
	}
	return string(text), nil
}

func names(tables []Table) (n []string) {
	for _, t := range tables {
		n = append(n, t.Name)
	}
	return n
}

func (o *options) choose() ([]Table, error) {
	if len(o.tables) == 0 {
		return tables, nil
	}
	var chosen []Table
	for _, name := range o.tables {
		i := slices.IndexFunc(tables, func(t Table) bool { return t.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no table %q; there are %s", name, strings.Join(names(tables), ", "))
		}
		chosen = append(chosen, tables[i])
	}
	return chosen, nil
}

// clean reports what went wrong in a run that is only to show that all works.
func clean(t Table, r *Run) error {
	for _, w := range r.Windows {
		if len(w.Failed) > 0 || w.Done == 0 {
			return fmt.Errorf("table %s, %s: %d done, failed: %v", t.Name, w.Server, w.Done, w.Failed)
		}
	}
	return nil
}

func (b *bench) list(cmd *cobra.Command, chosen []Table) {
	out := cmd.OutOrStdout()
	for _, t := range chosen {
		fmt.Fprintf(out, "%-14s %s\n%-14s %s\n", t.Name, t.Title, "", strings.Join(t.Servers, " "))
	}
	fmt.Fprintln(out)
	for _, p := range peer.All() {
		if why := b.missing[p.Name]; why != nil {
			fmt.Fprintf(out, "%-18s %v\n", p.Name, why)
		} else if b.commands[p.Name] != nil {
			fmt.Fprintf(out, "%-18s %s\n", p.Name, p.What)
		}
	}
}

func (b *bench) lacks() string {
	var l []string
	for name, why := range b.missing {
		l = append(l, fmt.Sprintf("%s (%v)", name, why))
	}
	slices.Sort(l)
	if len(l) == 0 {
		return "nothing"
	}
	return strings.Join(l, ", ")
}
