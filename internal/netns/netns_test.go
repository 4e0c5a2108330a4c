package netns

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onconn/internal/testleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDo(t *testing.T) {
	testleak.FDs(t)
	before := name(t)
	n := New(t)
	id := "net:[" + strconv.FormatUint(n.ID(), 10) + "]"
	if id == before {
		t.Fatal("the namespace is that of the test")
	}
	for range 20 {
		n.Do(func() {
			if now := name(t); now != id {
				t.Errorf("inside it is %s, not %s", now, id)
			}
			l, err := net.Listen("tcp", "127.0.0.1:80")
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			out, err := exec.Command("/bin/readlink", "/proc/self/ns/net").Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != id {
				t.Errorf("a child is in %s, %v; not %s", got, err, id)
			}
		})
		if now := name(t); now != before {
			t.Fatalf("afterwards it is %s, not %s", now, before)
		}
		if leader, err := os.Readlink("/proc/self/ns/net"); err != nil || leader != before {
			t.Fatalf("the process is in %s, %v", leader, err)
		}
	}
	if target, err := os.Readlink(n.Path()); err != nil || target != id {
		t.Errorf("the path leads to %s, %v", target, err)
	}
}

// A subtest that ends inside doesn't end the test that made the namespace.
func TestDoEndsSubtest(t *testing.T) {
	testleak.FDs(t)
	n := New(t)
	ended := t.Run("skipped", func(t *testing.T) {
		n.Do(func() { t.Skip("as it should be") })
		t.Error("it goes on")
	})
	if !ended || t.Failed() {
		t.Error("a skipped subtest failed")
	}
}

func name(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSysctl(t *testing.T) {
	testleak.FDs(t)
	n := New(t)
	n.Sysctl("core/somaxconn", "77")
	n.Do(func() {
		if b, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err != nil || string(b) != "77\n" {
			t.Errorf("inside: %q, %v", b, err)
		}
	})
	if b, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err != nil || string(b) == "77\n" {
		t.Errorf("outside: %q, %v", b, err)
	}
}

func TestLink(t *testing.T) {
	testleak.FDs(t)
	for _, addrs := range [][2]string{{"10.0.0.1/24", "10.0.0.2/24"}, {"fd00::1/64", "fd00::2/64"}} {
		server, client := New(t), New(t)
		a, b := netip.MustParsePrefix(addrs[0]), netip.MustParsePrefix(addrs[1])
		Link(t, server, client, a, b)
		var l net.Listener
		server.Do(func() {
			var err error
			if l, err = net.Listen("tcp", netip.AddrPortFrom(a.Addr(), 80).String()); err != nil {
				t.Fatal(err)
			}
		})
		defer l.Close()
		client.Do(func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != b.Addr() {
				t.Errorf("the client is %v, not %v", got, b)
			}
		})
	}
}

func TestDelay(t *testing.T) {
	testleak.FDs(t)
	const oneWay = 20 * time.Millisecond
	server, client := New(t), New(t)
	a, b := netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24")
	Delay(t, server, client, a, b, oneWay)
	var l net.Listener
	server.Do(func() {
		var err error
		if l, err = net.Listen("tcp", "10.0.0.1:80"); err != nil {
			t.Fatal(err)
		}
	})
	defer l.Close()
	client.Do(func() {
		start := time.Now()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if took := time.Since(start); took < 2*oneWay {
			t.Errorf("a handshake took %v, less than %v", took, 2*oneWay)
		}
	})
}
