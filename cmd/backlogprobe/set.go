package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/cli"
	"onconn/internal/terminal"
	"onconn/internal/words"
)

type setFlags struct {
	common
	yes   bool
	limit int
}

// newSet changes the backlog of a running server.
func newSet() *cobra.Command {
	var f setFlags
	cmd := &cobra.Command{
		Use:   "set FILTER BACKLOG",
		Short: "Change the backlog of a running server, without a restart",
		Long: `Change the backlog of a running server, without a restart: listen(2) is called
again on a copy of its socket. What waits stays, and refused clients get in when
they try again. It needs the right to trace the server: its user, or root.`,
		Example: `  backlogprobe set :8080 4096            asks first
  sudo backlogprobe set :8080 4096 --yes
  backlogprobe set src 127.0.0.1:80 511  where several listen on port 80`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.common = commonFlags(cmd)
			return f.run(args)
		},
		ValidArgsFunction: completeFirst,
	}
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	return cmd
}

func (f *setFlags) run(args []string) (err error) {
	if len(args) < 2 {
		return usage("set needs a filter and a backlog, as in: backlogprobe set :8080 4096")
	}
	last := args[len(args)-1]
	if f.limit, err = strconv.Atoi(last); err != nil || f.limit < 0 || f.limit > 1<<31-1 {
		return usage(fmt.Sprintf("%q is no backlog: it is a number from 0", last))
	}
	if !f.yes && !(terminal.IsTerminal(os.Stdin) && terminal.IsTerminal(os.Stderr)) {
		return usage("set changes a running program: say --yes where nobody can be asked")
	}
	filter := args[:len(args)-1]
	_, row, err := f.one(filter)
	if err != nil {
		return err
	}
	if len(row.Owners) == 0 {
		return fmt.Errorf("%s: who holds it is hidden, so its backlog can't be changed: run as root, or as its user", row.Local)
	}
	if !f.yes && !f.agreed(row) {
		fmt.Fprintln(os.Stderr, "nothing was changed")
		return cli.ExitCode(cli.Failure)
	}
	return f.set(row, filter)
}

// agreed asks on the terminal.
func (f *setFlags) agreed(row *survey.Row) bool {
	fmt.Fprintf(os.Stderr, "Call listen(2) with a backlog of %d on %s of %s, now %d? [y/N] ",
		f.limit, row.Local, holder(row.Owners[0]), row.Worst().Limit)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}

func holder(o survey.Owner) string {
	return fmt.Sprintf("%s[%d]", terminal.Clean(o.Command), o.PID)
}

// A change is what was done to one socket.
type change struct {
	Local   string        `json:"local"`
	Netns   string        `json:"netns"`
	PID     int           `json:"pid"`
	Command string        `json:"command"`
	FD      int           `json:"fd"`
	Before  backlog.Queue `json:"-"`
	After   backlog.Queue `json:"-"`
	From    int           `json:"limit_before"`
	To      int           `json:"limit_after"`
	Waited  int           `json:"accept_queue_before"`
}

// set changes every socket of the row, and then looks what comes of it.
func (f *setFlags) set(row *survey.Row, filter []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	chosen, err := parseFilter(filter)
	if err != nil {
		return err
	}
	s, err := f.survey(survey.Options{Filter: chosen, Sum: true})
	if err != nil {
		return err
	}
	defer s.Close()
	var done []change
	var failed error
	for _, socket := range sockets(row) {
		c, err := setLimit(socket, f.limit)
		if err != nil {
			failed = err
			break
		}
		done = append(done, c)
		if !f.json {
			f.printChange(c)
		}
	}
	if len(done) == 0 {
		return failed
	}
	if failed != nil {
		failed = fmt.Errorf("%d of %d sockets were changed, then: %w", len(done), len(sockets(row)), failed)
	}
	var after *survey.Report
	if crowded(done) {
		progress := f.progress()
		stop := showProgress(ctx, progress, settle, "looking who comes in")
		after, err = s.Look(ctx, settle)
		stop()
		if err != nil {
			return err
		}
	}
	if f.json {
		err = writeJSON(struct {
			Schema  string         `json:"schema"`
			Changes []change       `json:"changes"`
			After   *survey.Report `json:"after"`
		}{survey.Schema, done, after}, terminal.IsTerminal(os.Stdout))
		return cmp.Or(failed, err)
	}
	f.printOutcome(done, after)
	f.printPermanent(row)
	return failed
}

// settle is how long refused clients are waited for: they try again after 1 s.
const settle = 2 * time.Second

// crowded reports whether a queue was so full that clients may have been refused.
func crowded(done []change) bool {
	for _, c := range done {
		if 2*c.Before.Depth >= c.Before.Capacity() {
			return true
		}
	}
	return false
}

// setLimit changes one socket, through any of its holders.
func setLimit(socket survey.Row, limit int) (c change, err error) {
	for _, o := range socket.Owners {
		c = change{Local: socket.Local, Netns: socket.Netns, PID: o.PID, Command: o.Command, FD: o.FD}
		c.Before, c.After, err = backlog.SetLimit(socket.Observation.Listener, backlog.Owner{PID: o.PID, Command: o.Command, FD: o.FD}, limit)
		if err == nil {
			c.From, c.To, c.Waited = c.Before.Limit, c.After.Limit, c.Before.Depth
			return c, nil
		}
		if !errors.Is(err, unix.ESRCH) {
			return c, err
		}
	}
	if err == nil {
		err = fmt.Errorf("%s: the process that holds it is hidden: run as root, or as its user", socket.Local)
	}
	return c, err
}

func (f *setFlags) printChange(c change) {
	arrow := "→"
	if style, err := f.style(os.Stdout); err == nil && style.ASCII {
		arrow = "->"
	}
	fmt.Printf("%s[%d] fd %d  %s  %d %s %d  no restart, nothing lost\n", terminal.Clean(c.Command), c.PID, c.FD, c.Local, c.From, arrow, c.To)
	if c.To < f.limit {
		fmt.Printf("net.core.somaxconn of its network namespace caps it at %d. To go beyond: sysctl -w net.core.somaxconn=%d, then again.\n", c.To, f.limit)
	}
}

func (f *setFlags) printOutcome(done []change, after *survey.Report) {
	if after == nil || len(after.Listeners) == 0 {
		for _, c := range done {
			if c.Waited > c.After.Capacity() {
				fmt.Printf("%d connections wait already, and stay; new ones are refused until no more than %d do.\n", c.Waited, c.To)
			}
		}
		return
	}
	row := &after.Listeners[0]
	waited := 0
	for _, c := range done {
		waited += c.Waited
	}
	if row.Arrivals != nil {
		came := int(*row.Arrivals*after.Sampled.Seconds() + 0.5)
		fmt.Printf("In %s %s came in, and %d were accepted.\n", words.Duration(after.Sampled), words.Count(came, "connection"), came-(row.Depth-waited))
	} else if more := row.Depth - waited; more > 0 {
		fmt.Printf("In %s at least %s came in.\n", words.Duration(after.Sampled), words.Count(more, "connection"))
	}
	worst := row.Worst()
	switch {
	case worst.Depth > worst.Capacity:
		fmt.Printf("%d connections wait already, and stay; new ones are refused until no more than %d do.\n", worst.Depth, worst.Limit)
	case worst.Depth == worst.Capacity:
		fmt.Printf("The queue is full: %d of %d places are taken. See whether a backlog helps at all: backlogprobe %s\n", worst.Depth, worst.Capacity, after.Target(row))
	default:
		fmt.Printf("The queue holds %d of %d; it refuses nobody now.\n", worst.Depth, worst.Capacity)
	}
}

func (f *setFlags) printPermanent(row *survey.Row) {
	how := survey.Permanent(row.Owners[0], f.limit)
	if how == "" {
		how = "set the backlog where the program calls listen"
	}
	fmt.Println("Not permanent: it lasts until the program listens anew. For good: " + how)
}
