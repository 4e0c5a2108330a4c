package backlog

import (
	"fmt"
	"os/exec"
	"reflect"
	"regexp"
	"strconv"
	"testing"

	"onconn/internal/netns"
	"onconn/internal/testleak"
	"onconn/sock"
)

func TestCountersParse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Counters
	}{
		{"nothing", "", Counters{}},
		{"one group", "TcpExt: A B\nTcpExt: 1 2\n", Counters{"TcpExtA": 1, "TcpExtB": 2}},
		{"two groups", "Ip: A\nIp: 1\nTcp: A\nTcp: 18446744073709551615", Counters{"IpA": 1, "TcpA": 1<<64 - 1}},
		{"negative", "Tcp: MaxConn InSegs\nTcp: -1 7\n", Counters{"TcpInSegs": 7}},
		{"no number", "Tcp: A B\nTcp: x 7\n", Counters{"TcpB": 7}},
		{"fewer values", "Tcp: A B\nTcp: 1\n", Counters{"TcpA": 1}},
		{"more values", "Tcp: A\nTcp: 1 2\n", Counters{"TcpA": 1}},
		{"names alone", "Tcp: A\nIp: B\nIp: 2\n", Counters{"IpB": 2}},
		{"no colon", "Tcp A\nTcp 1\nIp: B\nIp: 2\n", Counters{"IpB": 2}},
		{"a group twice", "Tcp: A\nTcp: 1\nTcp: B\nTcp: 2\n", Counters{"TcpA": 1, "TcpB": 2}},
	} {
		got := Counters{}
		got.parse(tt.text)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, not %v", tt.name, got, tt.want)
		}
	}
}

func FuzzCounters(f *testing.F) {
	f.Add("TcpExt: A B\nTcpExt: 1 2\nTcp: MaxConn\nTcp: -1\n")
	f.Add(":\n:\n: a\n: 1")
	f.Add("Ip: A\n\nIp: 1")
	f.Fuzz(func(t *testing.T, text string) {
		c := Counters{}
		c.parse(text)
		if 4*len(c) > len(text) { // "a:x\na:1\n" makes one
			t.Errorf("%d counters in %d bytes", len(c), len(text))
		}
	})
}

func TestCountersSub(t *testing.T) {
	got := Counters{"a": 7, "gauge": 1, "new": 3}.Sub(Counters{"a": 5, "gauge": 2, "old": 1})
	if want := (Counters{"a": 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func TestCountersAgreeWithNstat(t *testing.T) {
	if _, err := exec.LookPath("nstat"); err != nil {
		t.Skip("needs nstat, of iproute2")
	}
	testleak.FDs(t)
	ns := netns.New(t)
	n := opened(t, ns.Path())
	ns.Do(func() {
		_, addr := listening(t, inet("127.0.0.1:80"), sock.Stream, 0, 0)
		connect(t, addr)
		eventually(t, func() error { return depth(n, addr, 1) })
		for range 3 {
			knock(t, addr)
		}
		eventually(t, func() error {
			l, err := n.Lookup(addr.AddrPort(), 0)
			if err == nil && l.Drops != 3 {
				err = fmt.Errorf("%d drops, not 3", l.Drops)
			}
			return err
		})
		out, err := exec.Command("nstat", "-asz").Output()
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.Counters()
		if err != nil {
			t.Fatal(err)
		}
		if c["TcpExtListenDrops"] != 3 || c["TcpActiveOpens"] != 4 {
			t.Errorf("drops %d, connects %d", c["TcpExtListenDrops"], c["TcpActiveOpens"])
		}
		rows := regexp.MustCompile(`(?m)^(Tcp|TcpExt|IpExt)(\w+) +(\d+)`).FindAllStringSubmatch(string(out), -1)
		if len(rows) < 100 {
			t.Fatalf("nstat says %d things: %s", len(rows), out)
		}
		for _, row := range rows {
			want, _ := strconv.ParseUint(row[3], 10, 64)
			if got, ok := c[row[1]+row[2]]; !ok || got != want {
				t.Errorf("%s%s is %d, %v; not %d", row[1], row[2], got, ok, want)
			}
		}
	})
}

func TestSysctls(t *testing.T) {
	testleak.FDs(t)
	ns := netns.New(t)
	n := opened(t, ns.Path())
	want := Sysctls{77, 78, 2, 1, 3, 1, 3}
	for name, value := range map[string]string{
		"core/somaxconn":             "77",
		"ipv4/tcp_max_syn_backlog":   "78",
		"ipv4/tcp_syncookies":        "2",
		"ipv4/tcp_abort_on_overflow": "1",
		"ipv4/tcp_synack_retries":    "3",
		"ipv4/tcp_migrate_req":       "1",
		"ipv4/tcp_fastopen":          "3",
	} {
		ns.Sysctl(name, value)
	}
	if got, err := n.Sysctls(); err != nil || got != want {
		t.Errorf("%+v, %v; not %+v", got, err, want)
	}
	n.settings[2].Close()
	n.settings[2] = nil // as on a kernel without it
	want.SynCookies = -1
	if got, err := n.Sysctls(); err != nil || got != want {
		t.Errorf("%+v, %v; not %+v", got, err, want)
	}
}

func BenchmarkCounters(b *testing.B) {
	n := opened(b, "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Counters(); err != nil {
			b.Fatal(err)
		}
	}
}
