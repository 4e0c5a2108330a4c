package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"onconn/backlog"
	"onconn/cmd/backlogprobe/internal/handshake"
	"onconn/internal/capture"
	"onconn/internal/cli"
)

func explainLive(cmd *cobra.Command, f explainFlags, args []string) error {
	ports, err := livePorts(args)
	if err != nil {
		return cli.Usage(err)
	}
	if f.span < 0 {
		return cli.Usage(fmt.Errorf("--for %v is negative", f.span))
	}
	c := capture.Config{Netns: f.space, Interface: f.live, Filter: capture.TCP(false, ports...)}
	if f.live == "any" {
		c.Interface = ""
	}
	queues, err := handshake.OpenQueues(f.space)
	if err != nil {
		return err
	}
	defer queues.Close()
	source, err := capture.Open(c)
	if err != nil {
		return err
	}
	defer source.Close()

	config := f.config()
	config.Depth = queues.At
	if config.Sysctls, err = sysctls(f.space); err != nil {
		return err
	}
	if f.json {
		config.Each = func(a *handshake.Attempt) {
			doc := a.Doc()
			writeDocument(cmd, handshake.Document{Schema: handshake.Schema, Source: f.live, Attempt: &doc})
		}
	}
	a := handshake.New(config)
	if err := follow(cmd, f, source, a); err != nil {
		return err
	}
	missed, _ := source.Dropped()
	r := a.Finish()
	if f.json {
		d := document(f.live, "", missed, r)
		d.Attempts = nil // each has had its line
		return writeDocument(cmd, d)
	}
	f.printer(cmd).Print(r)
	complete := "capture complete (0 packets missed)"
	if missed > 0 {
		complete = f.style.Warn(fmt.Sprintf("%d packets missed: verdicts may lack some", missed))
	}
	fmt.Fprintln(cmd.OutOrStdout(), complete)
	return nil
}

// livePorts reads the filter of a live capture: ":80", "80".
func livePorts(args []string) (ports []uint16, err error) {
	for _, arg := range args {
		n, err := strconv.ParseUint(strings.TrimPrefix(arg, ":"), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("filter %q: a live capture takes ports, such as :8080", arg)
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

func sysctls(netns string) (*backlog.Sysctls, error) {
	ns, err := backlog.OpenNamespace(netns)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	s, err := ns.Sysctls()
	return &s, err
}

// follow feeds packets to the analysis until the time is over or Ctrl-C.
func follow(cmd *cobra.Command, f explainFlags, source *capture.Source, a *handshake.Analysis) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if f.span > 0 {
		ctx, stop = context.WithTimeout(ctx, f.span)
		defer stop()
	}
	done := context.AfterFunc(ctx, func() { source.SetDeadline(time.Now()) })
	defer done()
	bar := f.progress()
	defer bar.Done()
	var shown time.Time
	for {
		p, err := source.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		a.Packet(p)
		if p.Time.Sub(shown) > time.Second {
			shown = p.Time
			bar.Set(-1, a.Summary()+"; Ctrl-C ends")
		}
	}
}
