package glossary

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onconn/internal/terminal"
)

// TestKernelNames: what the glossary names must exist, unless this kernel is older.
func TestKernelNames(t *testing.T) {
	known := map[string]bool{}
	for _, file := range []string{"/proc/net/netstat", "/proc/net/snmp"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			prefix, names, _ := strings.Cut(strings.TrimSpace(line), ": ")
			for name := range strings.FieldsSeq(names) {
				known[prefix+name] = true
			}
		}
	}
	for _, e := range Entries() {
		_, statErr := os.Stat(filepath.Join("/proc/sys/net", e.Key))
		exists := e.Kind == Counter && known[e.Key] || e.Kind == Setting && statErr == nil
		switch {
		case e.Key == "" && e.Kind == Setting:
			t.Errorf("%s has no file", e.Name)
		case e.Key == "":
		case exists:
			if _, ok := e.Value(); !ok {
				t.Errorf("%s has no value", e.Name)
			}
			if !strings.HasSuffix(e.Key, e.Name) {
				t.Errorf("%s is called %s", e.Key, e.Name)
			}
		case e.Since == "":
			t.Errorf("this kernel has no %s", e.Key)
		}
	}
}

// TestComplete: every entry says what it means and where that is written, and no
// name is found twice.
func TestComplete(t *testing.T) {
	seen := map[string]string{}
	for _, e := range Entries() {
		if e.Means == "" || e.Source == "" || e.Kind == "" || !strings.HasSuffix(e.Means, ".") {
			t.Errorf("%+v", e)
		}
		for _, name := range append([]string{e.Name, e.Key}, e.Aliases...) {
			if name == "" {
				continue
			}
			if other, ok := seen[normal(name)]; ok && !strings.EqualFold(other, e.Name) {
				t.Errorf("%q is %s and %s", name, other, e.Name)
			}
			seen[normal(name)] = e.Name
			if found, _ := Find(name); found.Name != e.Name {
				t.Errorf("%q finds %s, not %s", name, found.Name, e.Name)
			}
		}
	}
}

func TestFind(t *testing.T) {
	for name, want := range map[string]string{
		"listenoverflows":                     "ListenOverflows",
		"TcpExtListenDrops":                   "ListenDrops",
		"TcpPassiveOpens":                     "PassiveOpens",
		"net.core.somaxconn":                  "somaxconn",
		"/proc/sys/net/core/somaxconn":        "somaxconn",
		"net.ipv4.tcp_syncookies":             "tcp_syncookies",
		"recv-q":                              "Recv-Q",
		"time_wait":                           "TIME_WAIT",
		"syn-queue":                           "SYN queue",
		"SKB_DROP_REASON_TCP_LISTEN_OVERFLOW": "TCP_LISTEN_OVERFLOW",
		"511":                                 "511",
		"TCPAbortOnOverflow":                  "tcp_abort_on_overflow",
		"TCP_FASTOPEN":                        "TCP_FASTOPEN",
		"tcp_fastopen":                        "tcp_fastopen",
		"so_reuseport":                        "SO_REUSEPORT",
	} {
		if e, ok := Find(name); !ok || e.Name != want {
			t.Errorf("%s is %q", name, e.Name)
		}
	}
	if e, ok := Find("nothing"); ok {
		t.Errorf("%+v", e)
	}
	if _, ok := Find(""); ok {
		t.Error("an empty name is found")
	}
}

func TestSuggest(t *testing.T) {
	for name, want := range map[string]string{
		"somaxcon": "somaxconn", "ListenOverflow": "ListenOverflows", "overflow": "ListenOverflows",
		"syncookie_sent": "SyncookiesSent", "reuse_port": "SO_REUSEPORT",
	} {
		if got := strings.Join(Suggest(name), " "); !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := Suggest("zzzzzzzzzz"); len(got) != 0 {
		t.Error(got)
	}
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	if err := Print(&b, terminal.Style{ASCII: true, Width: 60}, false, "ListenOverflows"); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > 61 {
			t.Errorf("%q is wider than 60", line)
		}
	}
	for _, label := range []string{"  means ", "  but ", "  do ", "  source ", " on this host"} {
		if !strings.Contains(b.String(), label) {
			t.Errorf("no %q in\n%s", label, b.String())
		}
	}
	b.Reset()
	if err := Print(&b, terminal.Style{}, true, "backlog"); err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(b.Bytes(), &d); err != nil || d["schema"] != Schema || d["value"] != nil || d["name"] != "backlog" {
		t.Errorf("%v: %s", err, b.String())
	}
	if err := Print(&b, terminal.Style{}, false, "zzzzzzzzzz"); err == nil || !strings.Contains(err.Error(), "--list") {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	var plain, asJSON bytes.Buffer
	if err := errors.Join(List(&plain, terminal.Style{Width: 80}, false), List(&asJSON, terminal.Style{}, true)); err != nil {
		t.Fatal(err)
	}
	for _, e := range Entries() {
		if !strings.Contains(plain.String(), "\n  "+e.Name+" ") {
			t.Errorf("%s isn't listed", e.Name)
		}
	}
	if n := strings.Count(asJSON.String(), "\n"); n != len(Entries()) {
		t.Errorf("%d lines", n)
	}
}
