package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/internal/cli"
	"onconn/internal/testleak"
	"onconn/sock"
)

// alone is a command under a root that has nothing but the common flags.
func alone(cmd *cobra.Command, args ...string) *cobra.Command {
	root := &cobra.Command{Use: "backlogprobe", SilenceErrors: true, SilenceUsage: true}
	addCommonFlags(root)
	root.AddCommand(cmd)
	root.SetArgs(append([]string{cmd.Name()}, args...))
	return root
}

// crowd begins n connections to an address that nobody accepts from.
func crowd(t *testing.T, addr string, n int) {
	t.Helper()
	for range n {
		fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fd.Close() })
		if err := fd.Connect(sock.IPAddr(netip.MustParseAddrPort(addr))); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			t.Fatal(err)
		}
	}
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':'):] }

// metric is the value of a listener's series, or NaN.
func metric(text, name, addr string) float64 {
	m := regexp.MustCompile(`(?m)^` + name + `\{.*local="` + regexp.QuoteMeta(addr) + `".*\} (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v\n%s", resp.Status, err, b)
	}
	return string(b)
}

// A server that doesn't accept, in metrics.
func TestExportStalled(t *testing.T) {
	testleak.FDs(t)
	addr := hung(t, 5)
	stderr, said := io.Pipe()
	root := alone(newExport(), "--listen", "127.0.0.1:0", portOf(addr))
	root.SetErr(said)
	done := make(chan error, 1)
	go func() { done <- root.Execute() }()
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := line[strings.Index(line, "http://") : len(line)-1]
	fetch(t, url)
	crowd(t, addr, 12)

	var text string
	want := map[string]float64{ // at least
		"backlog_accept_queue_length":             6,
		"backlog_accept_queue_limit":              5,
		"backlog_accept_queue_peak":               6,
		"backlog_accept_queue_full_seconds_total": 0.5,
		"backlog_listener_drops_total":            12, // 6 clients tried twice
		"backlog_arrivals_total":                  6,
		"backlog_accepts_total":                   0,
		"backlog_oldest_wait_seconds":             0.5,
		"backlog_clients_hurt":                    6,
	}
	missing := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, missing = fetch(t, url), ""
		for name, least := range want {
			if got := metric(text, name, addr); got < least {
				missing += fmt.Sprintf("%s is %v, want %v at least\n", name, got, least)
			}
		}
		if missing == "" {
			break
		}
	}
	if missing != "" {
		t.Errorf("%s%s", missing, text)
	}
	for name, most := range map[string]float64{"backlog_accept_queue_length": 6, "backlog_arrivals_total": 6, "backlog_accepts_total": 0, "backlog_clients_hurt": 6} {
		if got := metric(text, name, addr); got > most {
			t.Errorf("%s is %v, want %v", name, got, most)
		}
	}
	for _, sample := range []string{`backlog_somaxconn{netns="host"} `, `backlog_netns_listen_overflows_total{netns="host"} `, `comm="backlogprobe.te"`} {
		if !strings.Contains(text, sample) {
			t.Errorf("%s is missing:\n%s", sample, text)
		}
	}
	promtool(t, text)

	unix.Kill(unix.Getpid(), unix.SIGTERM)
	if err := <-done; err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func promtool(t *testing.T, text string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed (apt-get install prometheus): the metrics are not checked")
		return
	}
	cmd := exec.Command(path, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestExportOnce(t *testing.T) {
	testleak.FDs(t)
	addr := hung(t, 3)
	crowd(t, addr, 4)
	for _, args := range [][]string{{"--once", portOf(addr)}, {"--once", "--per-socket", portOf(addr)}} {
		root := alone(newExport(), args...)
		var out bytes.Buffer
		root.SetOut(&out)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if metric(text, "backlog_accept_queue_length", addr) != 4 || metric(text, "backlog_accept_queue_limit", addr) != 3 {
			t.Errorf("%q prints\n%s", args, text)
		}
		if strings.Contains(text, "arrivals_total") || strings.Contains(text, `inode="`) != (len(args) == 3) {
			t.Errorf("%q prints\n%s", args, text)
		}
		promtool(t, text)
	}
}

func TestExportMistakes(t *testing.T) {
	testleak.FDs(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", "9911"}, `--listen is "9911": it is host:port`},
		{[]string{"--interval", "1us"}, "it is 1ms to 1s"},
		{[]string{"--json"}, "backlogprobe --json"},
		{[]string{"nonsense="}, "filter"},
	} {
		err := alone(newExport(), tt.args...).Execute()
		if _, ok := errors.AsType[cli.UsageError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want a usage error with %q", tt.args, err, tt.want)
		}
	}
	taken := hung(t, 1)
	err := alone(newExport(), "--listen", taken).Execute()
	if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "held by this process") {
		t.Errorf("an address in use: %v", err)
	}
	err = alone(newExport(), "--listen", "127.0.0.1:0", "--netns", "nosuchns").Execute()
	if err == nil || !strings.Contains(err.Error(), "nosuchns") {
		t.Errorf("no such namespace: %v", err)
	}
}

// A context that is done ends it.
func TestExportEndsWithItsContext(t *testing.T) {
	testleak.FDs(t)
	ctx, cancel := context.WithCancel(context.Background())
	root := alone(newExport(), "--listen", "127.0.0.1:0")
	root.SetErr(io.Discard)
	cancel()
	if err := root.ExecuteContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
