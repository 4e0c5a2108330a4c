package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/cmd/backlogprobe/internal/probe"
	"onconn/internal/cli"
	"onconn/internal/testleak"
	"onconn/sock"
)

// runProbe runs the command; the flags that the root has besides are given here.
func runProbe(args ...string) (stdout, stderr string, err error) {
	root := &cobra.Command{Use: "backlogprobe", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().BoolP("json", "j", false, "")
	root.PersistentFlags().StringArrayP("netns", "N", nil, "")
	root.AddCommand(newProbe())
	var out, errOut bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(append([]string{"probe"}, args...))
	err = root.Execute()
	return out.String(), errOut.String(), err
}

// hung makes a listener that nobody accepts from.
func hung(t *testing.T, limit int) string {
	t.Helper()
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	if err := fd.Bind(sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
		t.Fatal(err)
	}
	if err := fd.Listen(limit); err != nil {
		t.Fatal(err)
	}
	name, err := fd.Getsockname()
	if err != nil {
		t.Fatal(err)
	}
	return name.String()
}

func TestProbeUsage(t *testing.T) {
	addr := hung(t, 5)
	for _, args := range []string{
		"", "127.0.0.1", "127.0.0.1:x", "192.0.2.1:80", addr + " --burst -1", addr + " --max 0", addr + " --wait 0s",
		addr + " --burst 0", addr + " --syn=0", addr + " --syn=x", addr + " --syn --stop-accepting", addr + " --syn --max-wait 1s",
		addr + " --complete", addr + " --burst 0 --stop-accepting --max-wait 1s", addr + " -N blue", "--demo nonsense",
		addr + " --stop-accepting", addr + " --syn", // not a terminal, and no --yes
	} {
		out, _, err := runProbe(strings.Fields(args)...)
		if _, ok := errors.AsType[cli.UsageError](err); !ok || out != "" {
			t.Errorf("%q: %v, %q", args, err, out)
		}
	}
}

func TestProbeReport(t *testing.T) {
	testleak.FDs(t)
	addr := hung(t, 5)
	out, plan, err := runProbe(addr, "--burst", "8", "--wait", "1200ms", "--min-capacity", "6", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var report probe.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if report.Schema != probe.Schema || report.Capacity.Measured != 6 || report.Burst.Unanswered != 2 || report.Missed != nil {
		t.Errorf("%s", out)
	}
	if !strings.HasPrefix(plan, "probe "+addr) || strings.Count(plan, "probe") != 1 {
		t.Errorf("plan %q", plan)
	}
	// The six have gone, but stay in the queue until somebody accepts.
	out, _, err = runProbe(addr, "--burst", "3", "--wait", "100ms", "--min-capacity", "7")
	if code, ok := errors.AsType[cli.ExitCode](err); !ok || code != cli.Failure {
		t.Errorf("a missed threshold: %v", err)
	}
	for _, want := range []string{"limit 5, promises 6", "3 never", "wanted 7", "F: 100 %", "was full before"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, line := range strings.Split(out, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("too wide: %q", line)
		}
	}
}

// The burst waits a minute for those refused, so the signal finds it there.
func TestProbeInterrupted(t *testing.T) {
	testleak.FDs(t)
	addr := hung(t, 0)
	watched := make(chan error, 1)
	go func() {
		ap := netip.MustParseAddrPort(addr)
		for {
			l, err := probe.Look(probe.Target{Addr: sock.IPAddr(ap), Local: true})
			if err != nil || l.Depth > 0 {
				watched <- errors.Join(err, unix.Kill(os.Getpid(), unix.SIGINT))
				return
			}
		}
	}()
	out, _, err := runProbe(addr, "--burst", "100", "--wait", "1m")
	if err := <-watched; err != nil {
		t.Fatal(err)
	}
	if code, ok := errors.AsType[cli.ExitCode](err); !ok || code != exitInterrupted || !strings.Contains(out, "interrupted") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestProbeDemo(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	out, _, err := runProbe("--demo", "closed")
	if err != nil || !strings.Contains(out, "connection refused") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = runProbe("--demo", "unix", "--json")
	for line := range strings.Lines(out) {
		var step struct{ Schema, Demo, Says string }
		if err := json.Unmarshal([]byte(line), &step); err != nil || step.Schema != probe.Schema || step.Demo != "unix" || step.Says == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
	if err != nil || out == "" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestHelpFitsOneScreen(t *testing.T) {
	for _, name := range []string{"probe", "top", "export"} {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetArgs([]string{name, "--help"})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n > 24 {
			t.Errorf("%s: %d lines", name, n)
		}
		for line := range strings.Lines(out.String()) {
			if len(line) > 81 {
				t.Errorf("%s: too wide: %s", name, line)
			}
		}
		cmd, _, _ := root.Find([]string{name})
		for _, flag := range regexp.MustCompile(`(?m)^ .{5} --[a-z-]+`).FindAllString(cmd.LocalNonPersistentFlags().FlagUsages(), -1) {
			if flag = flag[len("      "):]; flag != " --help" && !strings.Contains(out.String(), flag) {
				t.Errorf("%s: help lacks %s", name, flag)
			}
		}
	}
}
