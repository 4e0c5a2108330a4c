package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"onconn/cmd/backlogprobe/internal/export"
	"onconn/cmd/backlogprobe/internal/survey"
	"onconn/internal/cli"
	"onconn/listen"
)

// onceLook is how long export --once looks.
const onceLook = time.Second

type exportFlags struct {
	listen    string
	interval  time.Duration
	perSocket bool
	once      bool
}

func newExport() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export [filter]",
		Short: "Serve metrics of accept queues to Prometheus",
		Long: `Sample the accept queues all the time, and serve what was seen on /metrics.
Without a filter that is every TCP listener. /healthz fails when looking fails.

The peak of a queue is since the last scrape, whoever scraped: two servers that
scrape one exporter take peaks away from each other. Counters lose nothing.
What is unknown is absent. cmd/backlogprobe/deploy has alerts and a dashboard.`,
		Example: `  backlogprobe export
  backlogprobe export --listen :9911 --all-netns
  backlogprobe export --once >backlog.new && mv backlog.new backlog.prom`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(cmd, args)
			if err != nil {
				return cli.Usage(err)
			}
			if f.once {
				return f.print(cmd, o)
			}
			return f.serve(cmd, o)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:9911", "host:port to serve on")
	flags.DurationVar(&f.interval, "interval", 10*time.Millisecond, "between samples of the queues")
	flags.BoolVar(&f.perSocket, "per-socket", false, "a series for each socket that shares a port")
	flags.BoolVar(&f.once, "once", false, "look for a second, print the metrics, end")
	return cmd
}

func (f *exportFlags) options(cmd *cobra.Command, args []string) (o survey.Options, err error) {
	c := commonFlags(cmd)
	o = survey.Options{Netns: c.netns, AllNetns: c.allNetns, Interval: f.interval, Sum: !f.perSocket, Owners: true, Hurt: true}
	if c.json {
		return o, errors.New("export has the text format of Prometheus: for JSON there is backlogprobe --json")
	}
	if err := checkInterval(f.interval); err != nil {
		return o, err
	}
	if _, port, err := net.SplitHostPort(f.listen); err != nil || port == "" {
		return o, fmt.Errorf("--listen is %q: it is host:port or :port", f.listen)
	}
	o.Filter, err = survey.ParseFilter(args)
	return o, err
}

func checkInterval(d time.Duration) error {
	if d < time.Millisecond || d > time.Second {
		return fmt.Errorf("--interval is %v: it is 1ms to 1s", d)
	}
	return nil
}

func (f *exportFlags) print(cmd *cobra.Command, o survey.Options) error {
	s, err := survey.Open(o)
	if err != nil {
		return err
	}
	defer s.Close()
	out := bufio.NewWriter(cmd.OutOrStdout())
	if err := export.WriteOnce(out, s, f.perSocket, onceLook); err != nil {
		return err
	}
	return out.Flush()
}

// serve listens first: an address that is taken is the likeliest mistake.
func (f *exportFlags) serve(cmd *cobra.Command, o survey.Options) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ln, err := listen.Config{}.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	s, err := survey.Open(o)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(cmd.ErrOrStderr(), "backlogprobe: metrics on http://%s/metrics\n", ln.Addr())
	return export.New(s, f.perSocket).Serve(ctx, ln)
}
