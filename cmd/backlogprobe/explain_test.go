package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"onconn/cmd/backlogprobe/internal/handshake"
	"onconn/internal/cli"
	"onconn/internal/netns"
	"onconn/internal/testleak"
)

const overflowPcap = "../../testdata/pcap/accept-queue-overflow-rtt40ms-abort0.pcap"

// runExplain runs the command as the program would, and returns its output.
func runExplain(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := &cobra.Command{Use: "backlogprobe", SilenceErrors: true, SilenceUsage: true}
	addCommonFlags(root)
	root.AddCommand(newExplain())
	root.SetArgs(append([]string{"explain"}, args...))
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestExplainFile(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	out, err := runExplain(t, overflowPcap)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"✗ 10.77.0.2:51080 → :8080: SYN 0.000, SYN-ACK 0.000011 1.012 3.028 (3 times),\n  ACK 0.041, data 0.048 (again 5 times), answer 4.008\n",
		"    ⇒ certain: the kernel had no room for the finished handshake: the accept\n      queue was full; let in after 4.0s\n",
		"7 attempts, 1 client: 3 final ACK refused, 4 connected\n",
		"62 packets, 62 of TCP, in 4.0s; 7 SYNs\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, err = runExplain(t, "--ascii", "-v", overflowPcap)
	if err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out, func(r rune) bool { return r > 126 }); i >= 0 {
		t.Errorf("not ASCII: %q", out[i:])
	}
	if !strings.Contains(out, "rules: syn-ack-after-ack, near-server, data-ignored; captured near: server") ||
		!strings.Contains(out, "  1.011772  server  SYN,ACK  seq 0 ack 1\n") {
		t.Errorf("-v:\n%s", out)
	}
}

func TestExplainJSON(t *testing.T) {
	out, err := runExplain(t, "--json", overflowPcap, "../../testdata/pcap/closed-port-v6.pcap")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	for _, want := range []int{7, 1} {
		var doc handshake.Document
		if err := d.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		if doc.Schema != "backlogprobe-explain/1" || len(doc.Attempts) != want || doc.Totals.Attempts != want || doc.Attempts[0].Waited <= 0 {
			t.Errorf("%+v", doc)
		}
	}
	if !strings.Contains(out, `"verdict":"final-ack-refused","certainty":"certain"`) || !strings.Contains(out, `"reset":null`) {
		t.Error(out)
	}
}

// TestExplainMost shows 20 attempts, and all with -a.
func TestExplainMost(t *testing.T) {
	file, err := os.ReadFile("../../testdata/pcap/rst-on-closed-port.pcap")
	if err != nil {
		t.Fatal(err)
	}
	many := bytes.Clone(file[:24])
	for i := range 30 {
		copied := bytes.Clone(file[24:])
		copied[16+20] ^= byte(i) // the client's port in the SYN, and in the answer
		copied[16+60+16+22] ^= byte(i)
		many = append(many, copied...)
	}
	path := filepath.Join(t.TempDir(), "many.pcap")
	if err := os.WriteFile(path, many, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		flag string
		want int
		more string
	}{{"-q", 20, "10 attempts less bad: -a shows them"}, {"-a", 30, ""}} {
		out, err := runExplain(t, tt.flag, "--ascii", path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out, " -> :9: "); n != tt.want || !strings.Contains(out, tt.more) {
			t.Errorf("%s: %d attempts\n%s", tt.flag, n, out)
		}
	}
}

func TestExplainCut(t *testing.T) {
	file, err := os.ReadFile(overflowPcap)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(path, file[:2000], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runExplain(t, path)
	if err != nil || !strings.Contains(out, "7 attempts") || !strings.Contains(out, "the file is cut off after packet ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExplainNames(t *testing.T) {
	out, err := runExplain(t, "listenoverflows", "net.core.somaxconn")
	if err != nil || !strings.Contains(out, "ListenOverflows  counter  ") || !strings.Contains(out, "somaxconn  sysctl  ") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = runExplain(t, "--list"); err != nil || !strings.Contains(out, "\n  TCP_DEFER_ACCEPT ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExplainErrors(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{nil, true, "explain what?"},
		{[]string{"ListenOverflow"}, false, "did you mean ListenOverflows"},
		{[]string{"no-such.pcap"}, false, "no such file"},
		{[]string{"explain.go"}, false, "not a pcap or pcapng file"},
		{[]string{"--for", "1s", "x"}, true, "--for needs --live"},
		{[]string{"--live", "any", "http"}, true, "takes ports"},
		{[]string{"--live", "any", ":0"}, true, "takes ports"},
		{[]string{"--live", "any", "--for", "-1s"}, true, "negative"},
		{[]string{"--live", "no-such-if"}, false, "no-such-if"},
		{[]string{"--all-netns", "511"}, true, "one --netns"},
	} {
		if tt.want == "no-such-if" && os.Geteuid() != 0 {
			continue
		}
		_, err := runExplain(t, tt.args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v", tt.args, err)
		}
		if _, ok := errors.AsType[cli.UsageError](err); ok != tt.usage {
			t.Errorf("%v: a usage error: %v", tt.args, ok)
		}
	}
}

// TestExplainLive refuses two SYNs of a client, which the queue's depth proves.
func TestExplainLive(t *testing.T) {
	testleak.FDs(t)
	n := netns.New(t)
	n.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
			t.Fatal(err)
		}
		first, err := net.Dial("tcp", "127.0.0.1:80") // fills it
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { first.Close() })
	})
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		n.Do(func() {
			// The capture begins within its first second: the SYN comes again.
			if c, err := net.DialTimeout("tcp", "127.0.0.1:80", 4*time.Second); err == nil {
				c.Close()
				t.Error("connected to a full queue")
			}
		})
	}()
	out, err := runExplain(t, "--ascii", "--live", "lo", "--for", "3s", "--netns", n.Path(), ":80")
	<-dialled
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"=> certain: the accept queue was full at each SYN", "accept queue then 1/1 1/1", "capture complete (0 packets missed)"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
